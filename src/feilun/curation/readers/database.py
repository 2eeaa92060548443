"""Tables of a database, read only, and the form in which their rows are kept as a source.

This module knows SQLAlchemy, how each database is told to write nothing, and the form: a first line of JSON with the
table's name and columns, then a line for each row. It does not know the store, nor what the rows mean.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError, NoSuchTableError, SQLAlchemyError

from feilun.curation.documents import MAX_BYTES, MAX_CELL, MAX_ROWS, Block, Unreadable
from feilun.curation.readers.shapes import blocks_of, table_blocks
from feilun.curation.readers.text import cell_text, table_rows
from feilun.errors import BadRequest, BadSource, MissingDependency, NotFound

ENDING = ".dbtable"
_FORM = "feilun.table.1"
_READ_ONLY = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET TRANSACTION READ ONLY",
    "mariadb": "SET TRANSACTION READ ONLY",
    "oracle": "SET TRANSACTION READ ONLY",
}
_HINT = "Use an SQLAlchemy URL such as sqlite:///file.db or postgresql+pg8000://user:password@host/name."


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """Give a connection to the database at ``url`` in which nothing can be written and nothing is kept.

    Raises BadRequest for an unusable URL, MissingDependency without the driver, BadSource if it cannot be opened.
    """
    try:
        parsed = sa.make_url(url)
        engine = _engine(parsed)
    except ModuleNotFoundError as error:
        raise MissingDependency(f"This database needs {error.name}.", f"pip install {error.name}") from error
    except (ArgumentError, ValueError, TypeError) as error:
        raise BadRequest("This is not the URL of a database.", _HINT) from error
    except SQLAlchemyError as error:
        raise BadRequest(f"There is no driver for {parsed.drivername}.", _HINT) from error
    try:
        with engine.connect() as conn, conn.begin() as transaction:
            statement = _READ_ONLY.get(conn.dialect.name)
            if statement is not None:
                conn.exec_driver_sql(statement)
            yield conn
            transaction.rollback()
    except SQLAlchemyError as error:
        where = parsed.render_as_string(hide_password=True)
        reason = getattr(error, "orig", None) or error
        raise BadSource(
            f"The database {where} cannot be read: {reason}.", "Check the address and the rights."
        ) from error
    finally:
        engine.dispose()


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        if url.drivername in {"postgres", "postgresql"}:
            url = url.set(drivername="postgresql+pg8000")
        return sa.create_engine(url, poolclass=sa.NullPool)
    path = Path(url.database or "")
    if not url.database or not path.is_file():
        raise BadSource(f"There is no database file {path}.", "Check the spelling of the path.")
    # SQLite itself then refuses to write, and to make a file that is not there.
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    return sa.create_engine("sqlite://", creator=lambda: sqlite3.connect(uri, uri=True), poolclass=sa.NullPool)


def table_names(url: str, schema: str | None = None) -> list[str]:
    """Return the names of the tables and views of a database."""
    with opened(url) as conn:
        inspector = sa.inspect(conn)
        return sorted({*inspector.get_table_names(schema), *inspector.get_view_names(schema)})


def dump(url: str, name: str, most: int = MAX_ROWS) -> bytes:
    """Return at most ``most`` rows of the table ``name`` (or ``schema.name``) in the form in which they are kept.

    The rows are in the order of the primary key, else of all columns that have an order, so that the same rows give the
    same bytes. Raises NotFound for an unknown table, and what ``opened`` raises.
    """
    with opened(url) as conn:
        table, described = _table(conn, name)
        columns = list(table.columns)
        order = list(table.primary_key.columns)
        query = sa.select(*columns).limit(most + 1)
        if order:
            query = query.order_by(*order)
        rows: list[str] = []
        size, more = 0, False
        for row in conn.execution_options(stream_results=True, max_row_buffer=1_000).execute(query):
            values = (_meant(value, kind) for value, (_, kind) in zip(row, described, strict=True))
            line = json.dumps([_kept(value) for value in values], ensure_ascii=False)
            size += len(line.encode()) + 1
            more = len(rows) == most or size > MAX_BYTES
            if more:
                break
            rows.append(line)
    if not order:
        rows.sort()
    head = {"form": _FORM, "table": name, "columns": [[key, str(kind)] for key, kind in described], "more": more}
    text = "\n".join([json.dumps(head, ensure_ascii=False), *rows, ""])
    return text.encode("utf-8", "replace")


def _table(conn: Connection, name: str) -> tuple[sa.Table, list[tuple[str, Any]]]:
    """Return the table and (name, type) of its columns, as the database describes them; names are always quoted.

    A column of SQLite may hold anything whatever its type says, so its values are taken as they are.
    """
    inspector = sa.inspect(conn)
    before, dot, after = name.partition(".")
    candidates: list[tuple[str | None, str]] = [(None, name), *([(before, after)] if dot else [])]
    for schema, each in candidates:
        known = {*inspector.get_table_names(schema), *inspector.get_view_names(schema)}
        if each in known:
            try:
                columns = inspector.get_columns(each, schema)
                keys = set(inspector.get_pk_constraint(each, schema).get("constrained_columns") or [])
            except NoSuchTableError:
                continue
            any_type = sa.types.NullType() if conn.dialect.name == "sqlite" else None
            made = [
                sa.Column(c["name"], any_type or c["type"], primary_key=c["name"] in keys, quote=True) for c in columns
            ]
            described = [(c["name"], c["type"]) for c in columns]
            return sa.Table(each, sa.MetaData(), *made, schema=schema, quote=True), described
    names = sorted({*inspector.get_table_names(), *inspector.get_view_names()})
    raise NotFound(f"There is no table {name}.", f"Tables: {', '.join(names[:50]) or 'none'}.")


def _meant(value: Any, kind: Any) -> Any:
    """Return what SQLite's number means in a column of its type: yes or no, an amount with all its decimals."""
    if isinstance(kind, sa.Boolean) and value in (0, 1):
        return bool(value)
    scale = kind.scale if isinstance(kind, sa.Numeric) else None
    if scale is None or isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return value
    exact = Decimal(repr(value))
    places = max(0, -int(exact.normalize().as_tuple().exponent))
    return f"{exact:.{max(scale, places)}f}"


def _kept(value: Any) -> Any:
    """Return a value of a cell as JSON has it."""
    if isinstance(value, str):
        return value[:MAX_CELL].encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)[:MAX_CELL]
    if isinstance(value, Decimal | dt.date | dt.time | UUID):
        return str(value)
    return str(value)[:MAX_CELL]


def read_table(data: bytes, notes: list[str]) -> list[Block]:
    """Return the rows that ``dump`` kept: a table, or the conversations and texts that its columns look like.

    Places are ``table!row``: ``orders!12`` is the twelfth row of the table orders.
    """
    try:
        lines = data.decode("utf-8").split("\n")
        head = json.loads(lines[0])
        if not isinstance(head, dict) or head.get("form") != _FORM:
            raise Unreadable("wrong_name")
        names = [str(name) for name, _ in head["columns"]]
        given = [json.loads(line) for line in lines[1:] if line]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreadable("damaged", f"({type(error).__name__})") from error
    name = str(head.get("table", ""))
    if head.get("more"):
        notes.append(f"only the first {len(given)} rows of the table {name} were read")
    rows = table_rows(itertools.chain([names], given), notes)
    shaped = list(_shaped(names, given, name)) or table_blocks(rows, name)
    return shaped or [Block("table", f"{name}!1:{len(rows) - 1}", name, rows=rows)]


def _shaped(names: Sequence[str], rows: Sequence[Sequence[Any]], table: str) -> Iterator[Block]:
    """Yield conversations that a column of JSON holds; nothing if the first row holds none."""
    for number, row in enumerate(rows, 1):
        value = {name: _parsed(cell) for name, cell in zip(names, row, strict=False)}
        found = [b for b in blocks_of(value, f"{table}!{number}") if b.kind == "turns"]
        if not found and number == 1:
            return
        yield from found


def _parsed(cell: Any) -> Any:
    if isinstance(cell, str) and cell[:1] in {"[", "{"}:
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return cell
    return cell if isinstance(cell, str | None) else cell_text(cell)
