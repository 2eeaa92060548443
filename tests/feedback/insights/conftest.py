"""Calls in the workspace of the tests of feedback."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from feilun.records import Feedback, Permissions, Trace, Usage
from feilun.store import Database, feedback, traces


@pytest.fixture
def call(db: Database) -> Callable[..., Trace]:
    """Keep a call of one question, a minute after the one before, with what people said about its answer."""
    numbers = count(1)

    def make(question: str | list[str], answer: str = "I don't know.", ws: str = "bank", **given: Any) -> Trace:
        number = next(numbers)
        asked = [question] if isinstance(question, str) else question
        judged = {name: given.pop(name) for name in ("thumb", "score", "correction") if name in given}
        trace = Trace(
            f"trace-{number:03d}",
            ws,
            "key-1",
            "own",
            "model-1",
            tuple({"role": "user", "content": text} for text in asked),
            answer,
            given.pop("finish", "stop"),
            Usage(1, 1),
            permissions=given.pop("permissions", Permissions()),
            created=given.pop("created", 1_700_000_000.0 + 60 * number),
            member=given.pop("member", f"member-{number}"),
            **given,
        )
        traces.add(db, [trace])
        if judged:
            feedback.add(db, Feedback(f"feedback-{number:03d}", ws, trace.id, created=trace.created + 1, **judged))
        return trace

    return make
