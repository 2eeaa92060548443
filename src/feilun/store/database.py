"""Opening the database and working in it: transactions, upserts, migrations, errors in our own words.

Knows SQLite and PostgreSQL. Does not know any noun.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from feilun.errors import BadSetting, Busy, Conflict, FeilunError, MissingDependency, NotFound, OutOfSpace
from feilun.store.blobs import Blobs, sweep_parts
from feilun.store.schema import clean
from feilun.store.vault import Vault

_URL_HINT = "Leave it empty, or use postgresql+pg8000://user:password@host/name."
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x6665696C  # "feil": the advisory lock that processes opening one PostgreSQL database share


class Database:
    """Rows (``engine``), contents (``blobs``), tables (``root/tables``) and what of them is sealed (``vault``)."""

    def __init__(self, engine: Engine, root: Path) -> None:
        """Keep an engine whose database is migrated, and the home folder."""
        self.engine = engine
        self.root = root
        self.blobs = Blobs(root / "blobs")
        self.vault = Vault(root)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection for a read; nothing that the block does is kept."""
        with self._translated(), self.engine.connect() as conn, conn.begin():
            yield conn

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection for one transaction: committed when the block ends well, else undone.

        Raises OutOfSpace (disk full), Busy (locked for more than 30 s), NotFound (no such workspace), FeilunError.
        """
        with self._translated(), self.engine.connect() as conn:
            conn.execution_options(feilun_write=True)
            with conn.begin():
                yield conn

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise translate(error, self.engine.url.render_as_string()) from error
        except PoolTimeout as error:
            raise Busy("Too many threads use the database at once.", "Try again in a moment.") from error


def translate(error: DBAPIError, where: str) -> FeilunError:
    """Return our error for a database's error; ``where`` names the database for people."""
    detail = error.orig.args[0] if error.orig is not None and error.orig.args else ""
    code = str(detail.get("C", "")) if isinstance(detail, dict) else ""
    text = str(detail.get("M", detail)) if isinstance(detail, dict) else str(detail)
    if "disk is full" in text or code == "53100":
        return OutOfSpace(f"No room left on the disk for {where}.", "Free some space and try again.")
    if "locked" in text or code in {"40001", "40P01", "55P03"}:
        return Busy(f"The database {where} is busy.", "Try again in a moment.")
    if isinstance(error, IntegrityError) or code.startswith("23"):
        if "FOREIGN KEY" in text or code == "23503":
            return NotFound("There is no such workspace, or what this belongs to does not exist.", "Create it first.")
        return Conflict(f"It is already there ({text}).")
    return FeilunError(f"The database {where} cannot be used: {text}.", "Check the database setting and the disk.")


def serialise(conn: Connection, *parts: str) -> None:
    """Make transactions that name the same thing wait for each other; SQLite has one writer at a time anyway."""
    if conn.dialect.name == "postgresql":
        key = int.from_bytes(hashlib.sha256("\0".join(parts).encode(errors="replace")).digest()[:8], "big", signed=True)
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.cast(key, sa.BigInteger))))


def insert(conn: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], replace: Sequence[str] = ()) -> None:
    """Insert rows; for a key that is there already replace the named columns, or with none named leave it as it is."""
    if not rows:
        return
    build = postgresql.insert if conn.dialect.name == "postgresql" else sqlite.insert
    statement = build(table)
    if replace:
        key = [column.name for column in table.primary_key]
        update = {name: statement.excluded[name] for name in replace}
        conn.execute(statement.on_conflict_do_update(index_elements=key, set_=update), [dict(row) for row in rows])
    else:
        conn.execute(statement.on_conflict_do_nothing(), [dict(row) for row in rows])


def one(conn: Connection, query: sa.Select[Any], what: str) -> dict[str, Any]:
    """Return the only row of a query; raise NotFound, naming ``what`` was looked for."""
    row = conn.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"There is no {clean(what)} in this workspace.")
    return dict(row)


def rows(conn: Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """Return the rows of a query."""
    return [dict(row) for row in conn.execute(query).mappings()]


def open_database(root: Path, url: str = "") -> Database:
    """Open the database of a home folder and bring its tables up to date.

    ``url`` empty: SQLite at ``root/feilun.db`` (WAL, every commit synced). Else an SQLAlchemy URL of a PostgreSQL
    database. Any number of processes may open one home at once. Raises BadSetting for an unusable URL,
    MissingDependency without the driver, FeilunError for a database that cannot be used or is newer than this program.
    """
    root = root.absolute()
    engine = _engine(_parse(url) if url else sa.URL.create("sqlite", database=str(root / "feilun.db")))
    try:
        for folder in (root / "blobs", root / "tables", root / "locks"):
            folder.mkdir(parents=True, exist_ok=True)
        _migrate(engine, root / "locks" / "database.lock")
        sweep_parts(root / "blobs")
        sweep_parts(root / "tables")
    except OSError as error:
        raise BadSetting(f"The folder {root} cannot be used: {error.strerror}.", "Choose another home.") from error
    except DBAPIError as error:
        raise translate(error, engine.url.render_as_string()) from error
    finally:
        engine.dispose()  # every process, and every child of it, begins with connections of its own
    return Database(engine, root)


def _engine(url: sa.URL) -> Engine:
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+pg8000")
    pool = {"pool_size": 8, "max_overflow": 32}
    if url.drivername == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": 30}, **pool)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    if url.drivername != "postgresql+pg8000":
        raise BadSetting(f"database: {url.drivername} is not supported.", _URL_HINT)
    try:
        return sa.create_engine(url, pool_pre_ping=True, **pool)
    except ModuleNotFoundError as error:
        raise MissingDependency("PostgreSQL needs pg8000.", "pip install 'feilun[postgres]'") from error


def _parse(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (ArgumentError, ValueError) as error:
        raise BadSetting("database: this is not a database URL.", _URL_HINT) from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Python's own transaction handling begins too late for a consistent read; _begin_sqlite does it instead.
    connection.isolation_level = None
    for pragma in ("busy_timeout = 30000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(conn: Connection) -> None:
    # A transaction that reads first and writes later cannot wait for another writer, so writers say so at once.
    write = conn.get_execution_options().get("feilun_write", False)
    conn.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _migrate(engine: Engine, lock_file: Path) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    # Making an SQLite file a WAL one does not wait for others who do the same, so even the look needs the lock.
    with lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with engine.connect() as conn:
            if MigrationContext.configure(conn).get_current_revision() == newest:
                return
        with engine.connect() as conn:
            conn.execution_options(feilun_write=True)
            with conn.begin():
                _upgrade(conn, config)


def _upgrade(conn: Connection, config: Config) -> None:
    if conn.dialect.name == "postgresql":
        conn.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    config.attributes["connection"] = conn
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        where = conn.engine.url.render_as_string()
        raise FeilunError(f"The database {where} was written by a newer Feilun.", "Upgrade feilun.") from error
