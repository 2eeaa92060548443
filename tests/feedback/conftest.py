"""A workspace in which people judge answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from feilun.records import Feedback, Permissions, Trace, Usage
from feilun.store import Database, feedback, open_database, traces, workspaces


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """Give a database with the workspaces ``bank`` and ``other``."""
    database = open_database(tmp_path / "home")
    workspaces.ensure(database, "bank")
    workspaces.ensure(database, "other")
    yield database
    database.close()


@pytest.fixture
def judge(db: Database) -> Callable[..., Feedback]:
    """Keep a trace of one question and a judgement about it, each later than the one before."""
    numbers = count(1)

    def add(question: str | list[str], answer: str = "Nine crowns.", ws: str = "bank", **given: Any) -> Feedback:
        number = next(numbers)
        asked = [question] if isinstance(question, str) else question
        said = tuple({"role": "user", "content": text} for text in asked)
        trace = Trace(
            id=f"trace-{number}",
            workspace=ws,
            key="key-1",
            endpoint="own",
            model="model-1",
            messages=said,
            answer=answer,
            finish=given.pop("finish", "stop"),
            usage=Usage(1, 1),
            permissions=given.pop("permissions", Permissions()),
            created=float(number),
        )
        traces.add(db, [trace])
        return feedback.add(db, Feedback(f"feedback-{number}", ws, trace.id, created=float(number), **given))

    return add
