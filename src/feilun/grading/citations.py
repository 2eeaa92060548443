"""The grader of answers that must say where they have it from: the right passages cited, and what is said found there.

This module knows how passages are cited (``[1]``, ``[doc-3]``, ``【2】``) and which words and numbers of a sentence a
passage holds. It does not know how passages were found.
"""

from __future__ import annotations

import re

import msgspec

from feilun.grading.numbers import numbers
from feilun.grading.seam import Case, Grade
from feilun.grading.spans import units
from feilun.grading.strings import OUTPUT
from feilun.grading.texts import contains

_CITED = re.compile(r"[\[【［]\s*([\w.:#/-]+(?:\s*[,，;；、]\s*[\w.:#/-]+)*)\s*[\]】］](?!\()")
_SENTENCE = re.compile(r"(?:[^.!?。！？\n]|\.(?=\w))*(?:[.!?。！？]+(?:\s*[\[【［][^\]】］]*[\]】］])*|\n|$)")
_MARKS = re.compile(r"[\[【［][^\]】］]*[\]】］]")


class Citation(msgspec.Struct, tag="citation", forbid_unknown_fields=True):
    """The answer cites ``reference`` (any of them; ``all_of``: each) of ``passages`` (id: text), and none that is not.

    ``accept``: it must hold one of these texts, too. Each sentence that cites must be grounded: its numbers stand in
    the passages it cites, and at least the share ``overlap`` of its words. ``refuse`` turns it round: no passage holds
    the answer, and the model must say so instead of citing.
    """

    passages: dict[str, str]
    reference: list[str] = []
    accept: list[str] = []
    all_of: bool = False
    overlap: float = 0.3
    refuse: bool = False
    input: str = OUTPUT
    name: str = ""

    def __post_init__(self) -> None:
        if unknown := set(self.reference) - self.passages.keys():
            raise ValueError(f"reference names {min(unknown)}, which is no passage")
        if not self.refuse and not self.reference:
            raise ValueError("reference must name a passage")

    async def grade(self, case: Case) -> Grade:
        """Look at each citation. Score: the share of what was asked for that holds."""
        text = case.fill(self.input)
        cited = [(sentence, ids) for sentence in _sentences(text) if (ids := _ids(sentence))]
        named = {each for _, ids in cited for each in ids}
        if self.refuse:
            refused = not named and not contains(text, self.accept)
            return Grade(float(refused), refused, "" if refused else "It answers what no passage holds.")
        faults = [f"there is no passage {each}" for each in sorted(named - self.passages.keys())]
        right = named & set(self.reference)
        if len(right) < (len(self.reference) if self.all_of else 1):
            faults.append("the right passage is not cited")
        if self.accept and not contains(text, [case.fill(each) for each in self.accept]):
            faults.append("the answer is not there")
        faults += [f"not found in what it cites: {s.strip()[:60]}" for s, ids in cited if not self._grounded(s, ids)]
        checks = 2 + bool(self.accept) + len(cited)
        return Grade(max(0.0, 1 - len(faults) / checks), not faults, "; ".join(faults[:5]))

    def _grounded(self, sentence: str, ids: set[str]) -> bool:
        source = " ".join(self.passages.get(each, "") for each in ids)
        bare = _MARKS.sub(" ", sentence)
        held = {found.value for found in numbers(source)}
        if any(found.value not in held for found in numbers(bare)):
            return False
        words = set(units(bare))
        return not words or len(words & set(units(source))) >= self.overlap * len(words)


def _sentences(text: str) -> list[str]:
    return [found for found in _SENTENCE.findall(text) if found.strip()]


def _ids(sentence: str) -> set[str]:
    return {one for group in _CITED.findall(sentence) for one in re.split(r"\s*[,，;；、]\s*", group) if one}
