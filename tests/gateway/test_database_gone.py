"""The database goes away in the middle of load: calls go on, and every one of them is in rows when it is back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import sqlalchemy as sa

from feilun.settings import Settings, load
from feilun.store import traces

BASE = "smollm2-135m-instruct"
HI: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def database(postgres_server: Any) -> Iterator[str]:
    """Give the URL of an empty PostgreSQL database."""
    with postgres_server.new_database() as url:
        yield url


@pytest.fixture
def settings(tmp_path: Path, database: str) -> Settings:
    """Give the settings of a home whose rows are in PostgreSQL."""
    return load(environment={}, given={"home": str(tmp_path / "home"), "engine": "fake", "database": database})


def test_calls_go_on_without_the_database(gateway: Any, postgres_server: Any) -> None:
    """Every connection is cut again and again, and nobody may connect; no call fails, none is lost or counted twice."""
    client = gateway.openai(gateway.key())
    name = str(sa.make_url(gateway.settings.database).database)
    cut = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
    seen: list[str] = []
    failed: list[Exception] = []

    def call() -> None:
        try:
            seen.extend(client.chat.completions.create(model=BASE, messages=HI).id for _ in range(20))
        except openai.OpenAIError as error:
            failed.append(error)

    callers = [threading.Thread(target=call) for _ in range(4)]
    client.chat.completions.create(model=BASE, messages=[{"role": "user", "content": "Ready?"}])
    with postgres_server.admin.connect() as admin:
        admin.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        for caller in callers:
            caller.start()
        while any(caller.is_alive() for caller in callers):
            admin.execute(cut, {"name": name})
            threading.Event().wait(0.05)
        admin.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert failed == []
    gateway.flush()
    kept = [trace.id for trace in traces.find(gateway.db, "bank", limit=1000)]
    assert len(kept) == len(set(kept)) == 81
    assert set(seen) <= set(kept)
