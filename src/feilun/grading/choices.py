"""The grader of multiple choice by what a model writes: the option that it names.

This module knows how people and models name an option in English and in Chinese. It does not know log-probabilities:
choice by likelihood is :mod:`feilun.evaluation.likely`.
"""

from __future__ import annotations

import re
import unicodedata

import msgspec

from feilun.grading.seam import Case, Grade, right_or_wrong
from feilun.grading.strings import OUTPUT
from feilun.records import normalise_text

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WRAP = r"[\s(\[{<*_`\"'“”‘’（【「《:：]*"
_SAYS = (
    r"(?:answer|choice|option|selection|response)\s*(?:is|was|are|would\s+be|should\s+be|[:=])|"
    r"(?:i|we)\s+(?:choose|pick|select|go\s+with)|it(?:\s+is|'s)|but\s+rather|"
    r"(?:答案|选项|選項|结论|結論|正确的|正確的)\s*(?:应该|應該|应|應|就)?\s*(?:是|为|為|选|選|[:：])|"
    r"而是|应该?选|應該?選|故选|故選|所以选|因此选|[我应]?选择?|[我應]?選擇?|"
    r"\\boxed\s*\{(?:\\text\s*\{)?|####"
)
_FILLER = r"(?:\s*(?:option|choice|letter|the\s+option|选项|選項|项)\s*)?"


def chosen(text: str, letters: str, texts: tuple[str, ...] = (), *, several: bool = False) -> str:
    """Return the letters of the options that an answer chooses, in order; empty if it cannot be told.

    ``letters`` are those on offer, ``texts`` what the options say, ``several`` permits more than one.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    for find in (_announced, _leading):
        if found := find(plain, letters, several):
            return found
    return _by_text(plain, letters, texts) or _alone(plain, letters, several)


def _run(letters: str, several: bool) -> str:
    """Return a pattern for a letter that stands for itself, or for several one after the other."""
    one = rf"[{letters}]"
    many = rf"{one}(?:\s*(?:[,、和及与&]|and)?\s*{one})*" if several else one
    return (
        rf"({many})(?![A-Za-z'’]|\s*(?:and|or|或)\s+[{letters}]\b(?!\w))" if not several else rf"({many})(?![A-Za-z'’])"
    )


def _announced(text: str, letters: str, several: bool) -> str:
    """Return what the last "the answer is B" says."""
    pattern = rf"(?:{_SAYS}){_FILLER}{_WRAP}{_FILLER}{_WRAP}(?-i:{_run(letters, several)})"
    found = [m[1] for m in re.finditer(pattern, text, re.IGNORECASE) if not _article(text, m.start(1))]
    return _tidy(found[-1]) if found else ""


def _leading(text: str, letters: str, several: bool) -> str:
    """Return the letter that an answer begins with, or that is its whole last line."""
    mark = r"[)\]}.。．、,:：）】」*_`\"'”’]"
    if found := re.match(rf"{_WRAP}{_run(letters, several)}\s*(?:{mark}|$|\n)", text):
        return _tidy(found[1])
    if letters and (found := re.match(rf"{_WRAP}([{letters.lower()}])\s*(?:[).。:：]|$)", text)):
        return found[1].upper()
    last = text.rsplit("\n", 1)[-1].strip()
    found = re.fullmatch(rf"{_WRAP}{_run(letters, several)}{mark}*", last)
    return _tidy(found[1]) if found else ""


def _by_text(text: str, letters: str, texts: tuple[str, ...]) -> str:
    """Return the one option whose words the answer repeats; of two that hold each other, the longer."""
    said = f" {normalise_text(text)} "
    found = []
    for letter, option in zip(letters, texts, strict=False):
        words = normalise_text(option)
        inside = words in said if any(ord(c) > 0x2E7F for c in words) else f" {words} " in said
        if words and inside:
            found.append((letter, words))
    best = [one for one in found if not any(one[1] != other[1] and one[1] in other[1] for other in found)]
    return best[0][0] if len(best) == 1 else ""


def _alone(text: str, letters: str, several: bool) -> str:
    """Return the only letter that stands by itself anywhere."""
    standing = re.finditer(rf"(?<![A-Za-z0-9'’])[{letters}](?![A-Za-z0-9'’])", text)
    found = sorted({m[0] for m in standing if not _article(text, m.start())})
    return "".join(found) if len(found) == 1 or several else ""


def _article(text: str, place: int) -> bool:
    """Say whether the letter at ``place`` is the English word "A" or "I"."""
    return text[place] in "AI" and re.match(r".\s+[a-z]", text[place:]) is not None


def _tidy(letters: str) -> str:
    return "".join(sorted({c for c in letters if c in LETTERS}))


class Choice(msgspec.Struct, tag="choice", forbid_unknown_fields=True):
    """The answer chooses the option ``reference`` (a letter, or several for several right ones; or a number from 0).

    ``choices`` are the options' texts, so that an answer may say the text instead of the letter.
    """

    reference: str | int
    choices: list[str] = []
    letters: str = ""
    input: str = OUTPUT
    name: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.reference, int) and not 0 <= self.reference < len(self.offered):
            raise ValueError(f"reference {self.reference} is none of {len(self.offered)} options")
        if self.letters and not all(letter in LETTERS for letter in self.letters):
            raise ValueError("letters must be capital letters")

    @property
    def offered(self) -> str:
        """The letters on offer."""
        return self.letters or LETTERS[: len(self.choices) or 4]

    async def grade(self, case: Case) -> Grade:
        """Find the letter and compare."""
        filled = (
            self.reference if isinstance(self.reference, int) else case.fill(self.reference).strip().strip("()（）.")
        )
        wanted = self.offered[filled] if isinstance(filled, int) else _tidy(filled.upper())
        if not wanted or not set(wanted) <= set(self.offered):
            return Grade(0.0, False, error=f"The reference {filled!r} is none of the options {self.offered}.")
        found = chosen(case.fill(self.input), self.offered, tuple(self.choices), several=len(wanted) > 1)
        return right_or_wrong(found == wanted, f"It chooses {found}." if found else "It chooses no option.")
