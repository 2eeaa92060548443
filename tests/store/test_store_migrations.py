"""Databases of earlier versions are brought up to date, with what they hold."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from feilun import store
from feilun.records import Usage
from feilun.store import Edge, database, keys, lineage, models, open_database, traces
from feilun.store.calls import usage
from feilun.store.schema import METADATA

_KEY = "INSERT INTO keys VALUES ('bank', 'key-1', 'web', 'viewer', 'ab', 'fl-…', 1.0, false)"
_TRACE = """INSERT INTO traces (workspace, id, "key", endpoint, model, messages, answer, finish, prompt_tokens,
completion_tokens, deployment, permissions, created, "day", seconds) VALUES ('bank', 'trace-{0}', 'key-1', 'own', 'm',
'[]', 'a', 'stop', {0}, 5, '', '{{}}', {0}.0, '1970-01-01', 0.5)"""

_MODEL = "INSERT INTO models VALUES ('bank', '{0}', 'own', '{1}', '', '', '{{}}', 1.0, '{{}}')"
_JOB = """INSERT INTO jobs VALUES ('{0}', 'bank', 'training', '{{}}', 'succeeded', '{{"tokens":1,"model":"{1}"}}',
'{{}}', 1.0, 2.0, false)"""


def test_the_tables_are_those_of_the_schema(tmp_path: Path, empty_url: str) -> None:
    """What the steps make is what the nouns are written into: tables, columns, indexes."""
    for room in pkgutil.walk_packages(store.__path__, f"{store.__name__}."):
        if room.name.endswith(".tables"):
            importlib.import_module(room.name)  # rooms of the store define their own; imported, the schema has them
    db = open_database(tmp_path, empty_url)
    with db.reading() as conn:
        found = compare_metadata(MigrationContext.configure(conn, opts={"compare_type": False}), METADATA)
    db.close()
    assert found == []


def upgraded(root: Path, url: str, since: str, *rows: str) -> database.Database:
    """Return today's database, which was one of ``since`` with the workspace ``bank`` and these rows."""
    root.mkdir()
    engine = sa.create_engine(url or f"sqlite:///{root / 'feilun.db'}")
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, since)
        for text in ("INSERT INTO workspaces VALUES ('bank', 1.0)", *rows):
            conn.exec_driver_sql(text)
    engine.dispose()
    return open_database(root, url)


def test_a_first_database_is_brought_up_to_date(tmp_path: Path, empty_url: str) -> None:
    """Its keys and traces are still there, and its usage is counted."""
    db = upgraded(tmp_path / "home", empty_url, "0001", _KEY, _TRACE.format(1), _TRACE.format(2))
    (key,) = keys.find(db, "bank")
    assert (key.member, key.expires, key.scopes) == ("", None, ())
    trace = traces.get(db, "bank", "trace-2")
    assert (trace.kind, trace.cost, trace.meta, trace.usage) == ("chat", 0, {}, Usage(2, 5, 0))
    (row,) = usage.report(db, "bank", ("key", "model", "day"))
    assert (row["key"], row["model"], row["day"]) == ("key-1", "m", "1970-01-01")
    assert (row["calls"], row["prompt_tokens"], row["completion_tokens"], row["seconds"]) == (2, 3, 10, 1.0)
    assert lineage.ancestors(db, "bank", "trace-1") == [Edge("m", "trace-1", "answered")]
    db.close()


def test_what_clients_trained_before_stays_on(tmp_path: Path, empty_url: str) -> None:
    """A version that a job of the API made was promised to its client; one that a turn made is off."""
    rows = [_MODEL.format(*each) for each in (("model-1", "adapter"), ("model-2", "adapter"), ("model-3", "base"))]
    rows += [_JOB.format(*each) for each in (("ftjob-1", "model-1"), ("ftjob-2", "model-1"), ("turn-1", "model-2"))]
    db = upgraded(tmp_path / "home", empty_url, "0002", *rows)
    assert models.turned_on(db) == {("bank", "model-1"): "ftjob-1"}
    db.close()
