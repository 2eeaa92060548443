"""The grader of short free answers and spans: exact match and F1, by the rules of SQuAD and CMRC.

English goes by words, without articles and marks; Chinese by characters; mixed texts by both. This module knows those
rules. It does not know where a passage comes from.

Sources: Rajpurkar et al. 2016 (SQuAD); Cui et al. 2019 (CMRC 2018).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

import msgspec

from feilun.grading.seam import Case, Grade
from feilun.grading.strings import OUTPUT, References

_ARTICLES = re.compile(r"\b(?:a|an|the)\b(?=\s+\w)")  # no word follows the A of "vitamin A"
_HAN = "\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_DASHES = str.maketrans("−‐‑‒–", "-----")
_KEPT = re.compile(r"(?<=\d)[.:/-](?=\d)|(?<!\w)-(?=[$€£¥]?\.?\d)|(?<!\w)\.(?=\d)|(?<=[a-z])#|[%‰°+<=>±×÷≤≥≠≈√∞]")
_UNITS = re.compile(rf"[{_HAN}]|[^\s{_HAN}]+")


def units(text: str) -> list[str]:
    """Return what F1 counts: words without articles and ordinary marks; Chinese, Japanese and Korean by characters."""
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_DASHES)
    # SQuAD drops marks without a space, so that "U.S." is "us" and "1,000" is "1000"; not those that are a value's.
    kept = {match.start() for match in _KEPT.finditer(folded)}
    plain = "".join(c for at, c in enumerate(folded) if unicodedata.category(c)[0] not in "PS" or at in kept)
    return _UNITS.findall(_ARTICLES.sub(" ", plain))


def f1(said: str, reference: str) -> float:
    """Return the harmonic mean of precision and recall over units; two texts without any unit are the same."""
    given, wanted = units(said), units(reference)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


class F1(msgspec.Struct, tag="f1", forbid_unknown_fields=True):
    """Score: the best F1 over the references. It passes with an exact match, or from ``pass_threshold`` on."""

    reference: References
    pass_threshold: float = 1.0
    input: str = OUTPUT
    name: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.pass_threshold <= 1:
            raise ValueError("pass_threshold must be above 0 and at most 1")

    async def grade(self, case: Case) -> Grade:
        """Compare with every reference."""
        said = case.fill(self.input)
        references = case.fill_all(self.reference)
        score = max((f1(said, reference) for reference in references), default=0.0)
        same = any(units(said) == units(reference) for reference in references)
        passed = same if self.pass_threshold == 1.0 else score >= self.pass_threshold
        return Grade(score, passed, "exact match" if same else f"F1 {score:.2f}")
