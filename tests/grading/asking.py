"""Grading one answer, as the tests of several graders do."""

from __future__ import annotations

from typing import Any

from feilun.grading import Grade, grade


async def graded(spec: dict[str, Any], said: str, judge: Any = None, **sample: Any) -> Grade:
    """Grade an answer to a question that is not looked at."""
    return await grade(spec, {"question": "Why?", "answer": "four"}, {"output_text": said, **sample}, judge)
