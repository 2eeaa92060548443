"""The seam between those who ask for a grade and those who give one.

This module knows what a grade is, and what a grader gets to see. It does not know any grader.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from feilun.grading.texts import fill
from feilun.records import JSON

Judge = Callable[[tuple[JSON, ...]], Awaitable[str]]
"""Who answers messages in words: a model that somebody chose as a judge."""


@dataclass(frozen=True, slots=True)
class Grade:
    """How good an answer is (``score``, 0 to 1), whether that passes, and why.

    ``error`` says that the grader itself failed: the answer was not judged, and nothing follows about the model.
    """

    score: float
    passed: bool
    why: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One answer to be graded: the fields of its item, the sample (``output_text`` and more), and perhaps a judge."""

    item: Mapping[str, Any]
    sample: Mapping[str, Any]
    judge: Judge | None = None

    @property
    def output(self) -> str:
        """What the model answered, in words."""
        said = self.sample.get("output_text")
        return said if isinstance(said, str) else ""

    def fill(self, text: str) -> str:
        """Return ``text`` with ``{{ item.… }}`` and ``{{ sample.… }}`` put in; other braces stay."""
        return fill(text, self.item, self.sample)

    def fill_all(self, texts: str | float | list[str | float]) -> list[str]:
        """Return one or several references as texts, filled in."""
        return [self.fill(str(text)) for text in (texts if isinstance(texts, list) else [texts])]


class Grader(Protocol):
    """One kind of grader, made from its spec."""

    async def grade(self, case: Case) -> Grade:
        """Grade one answer; whatever it raises becomes the error of the grade."""
        ...


def right_or_wrong(right: bool, why: str = "") -> Grade:
    """Return the grade of what can only be right or wrong."""
    return Grade(float(right), right, why)
