"""Graders of whole texts: the same, contained, and OpenAI's ``string_check``.

This module knows comparisons of texts. It does not know numbers, choices or models.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from feilun.grading.seam import Case, Grade, right_or_wrong
from feilun.grading.texts import contains, render_template, same_words, string_check, tokens

OUTPUT = "{{ sample.output_text }}"
References = str | float | list[str | float]


class StringCheck(msgspec.Struct, tag="string_check", forbid_unknown_fields=True):
    """OpenAI's grader of this name."""

    input: str
    reference: str
    operation: Literal["eq", "ne", "like", "ilike"]
    name: str = ""

    async def grade(self, case: Case) -> Grade:
        """Compare ``input`` with ``reference``, both filled in."""
        sides = (render_template(text, case.item, case.sample) for text in (self.input, self.reference))
        return right_or_wrong(string_check(self.operation, *sides) == 1.0)


class Contains(msgspec.Struct, tag="contains", forbid_unknown_fields=True):
    """The answer holds any of ``accept`` and none of ``reject``, word by word."""

    accept: list[str]
    reject: list[str] = []
    input: str = OUTPUT
    name: str = ""

    def __post_init__(self) -> None:
        if not any(tokens(text) for text in self.accept):
            raise ValueError("accept must hold at least one text with a word or a number")

    async def grade(self, case: Case) -> Grade:
        """Look for the texts."""
        accept, reject = ([case.fill(text) for text in texts] for texts in (self.accept, self.reject))
        return right_or_wrong(contains(case.fill(self.input), accept, reject) == 1.0)


class Exact(msgspec.Struct, tag="exact", forbid_unknown_fields=True):
    """The answer is one of the references; unless ``strict``, case, width, ordinary marks and spaces do not count.

    Signs do: ``-5`` is not ``5``, ``C++`` not ``C#``.
    """

    reference: References
    strict: bool = False
    input: str = OUTPUT
    name: str = ""

    async def grade(self, case: Case) -> Grade:
        """Compare the whole texts."""
        said = case.fill(self.input)
        references = case.fill_all(self.reference)
        if self.strict:
            return right_or_wrong(said in references)
        words = tokens(said)
        # Of marks only ("...", "!") no token is left, and they would equal any other.
        return right_or_wrong(
            any(same_words(words, tokens(r)) if words else said.strip() == r.strip() for r in references)
        )
