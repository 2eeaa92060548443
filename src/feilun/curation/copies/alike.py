"""Whether two wordings ask one thing although characters differ: figures with their signs, a character too few or many.

This module knows figures, signs and single characters. It does not know shingles, rows nor exams.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from itertools import pairwise

from feilun.curation.copies.fold import CODE, fold

_SIGNS = str.maketrans("×✕✖·∙⋅÷⁄∕−–—﹣₋:≦≧", "******///-----:≤≥")
_SIGN = re.compile(r"[+*/^=<>≤≥≠±∓√%#]|(?<![a-z]{2})-|-(?![a-z]{2})")
_MARKS = re.compile(r"[\W_]+")
_BLANKS = re.compile(r"\s+")
_LONG = 24  # letters of a question that is known without its marks
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DATE = re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_OPERAND = r"(?:\d+(?:[.,:]\d+)*(?:[a-z](?![a-z]))?|(?<![a-z])[a-z](?![a-z])(?:\+\+|\#)?)%?"
_OPERATOR = r"[ \t]*[-+*/^=<>≤≥≠±∓]{1,2}[ \t]*"
_EXPRESSION = re.compile(rf"(?:(?<![\w)%.,:\-])[-√±])?{_OPERAND}(?:{_OPERATOR}[-√±]?{_OPERAND})*")
_TELLS = re.compile(r"[\d+\-*/^=<>≤≥≠±∓√%\#]")
_MOST_PLACES = 64
_OTHERWISE = frozenset("不没非未无勿莫别否毋两半")  # what a question turns on, besides figures


def same_figures(item: str, text: str, *, ordered: bool = True) -> bool:
    """Tell whether a text has the figures of an item with their signs: templates of questions differ in nothing else.

    ``ordered`` is false where the words of the item stand in another order: signs are then counted. Where words are
    broken up, marks tell nothing, and only digits count.
    """
    wanted = _expressions(item)
    if not wanted:
        return True
    if not ordered:
        return _signs(item) <= _signs(text)
    lost = wanted - _expressions(text)
    if not lost:
        return True
    if _broken(item, text):
        return Counter(filter(str.isdigit, _plain(item))) <= Counter(filter(str.isdigit, _plain(text)))
    if sum(map(str.isalpha, item)) < _LONG:
        return False
    # Who types a long question in again may leave blanks and marks out; a short one is another question then.
    joined, bare = _BLANKS.sub("", _plain(text)), _expressions(text)
    return all(_stands(told, joined) or _MARKS.sub("", told) in bare for told in lost)


def slip(item: str, text: str) -> tuple[str, str] | None:
    """Return (too few, too many) where a text holds all of an item but for one character; None where it does not.

    One of both is empty if a character was left out or put in; if both are not, it was exchanged for another.
    """
    half = len(item) // 2
    found = _slips(item, text, half)
    found += _slips(item[::-1], text[::-1], len(item) - half)
    return min(found, key=lambda each: bool(each[0]) + bool(each[1]), default=None)


def is_slip(few: str, many: str) -> bool:
    """Tell whether what differs is a slip of the pen: no exchange, no figure, nothing that turns the question round."""
    changed = few + many
    return not (few and many) and not any(char.isnumeric() or char in _OTHERWISE for char in changed)


def _slips(item: str, text: str, half: int) -> list[tuple[str, str]]:
    head, tail = item[:half], item[half:]
    found: list[tuple[str, str]] = []
    at = text.find(head)
    while at >= 0 and len(found) < _MOST_PLACES:
        rest = text[at + half : at + len(item) + 1]
        same = next((n for n, (one, other) in enumerate(zip(tail, rest, strict=False)) if one != other), None)
        same = min(len(tail), len(rest)) if same is None else same
        left, said = tail[same:], rest[same:]
        if not left:
            found.append(("", ""))
        elif said.startswith(left[1:]):
            found.append((left[0], ""))
        elif said[1:].startswith(left):
            found.append(("", said[0]))
        elif said[1:].startswith(left[1:]):
            found.append((left[0], said[0]))
        at = text.find(head, at + 1)
    return found


@lru_cache(maxsize=32)
def _expressions(text: str) -> frozenset[str]:
    """Return figures and formulas, as they are written without blanks; letters alone are none."""
    found = ("".join(told.split()) for told in _EXPRESSION.findall(_plain(text)))
    return frozenset(told for told in found if _TELLS.search(told))


def _plain(text: str) -> str:
    """Return a text in which the same figures are written in the same way."""
    plain = unicodedata.normalize("NFKC", text).casefold().translate(_SIGNS)
    return _DATE.sub(r"\1 \2 \3", _THOUSANDS.sub("", plain))


def _stands(formula: str, text: str) -> bool:
    """Tell whether a formula stands in a text without blanks, and not as a part of another one."""
    return re.search(rf"(?<![\d+*/^=<>-]){re.escape(formula)}(?!\d|[-+*/^]\d)", text) is not None


def _signs(text: str) -> Counter[str]:
    return Counter(_SIGN.findall(_plain(text)))


def _broken(item: str, text: str) -> bool:
    """Tell whether most words of an item are no words of a text, though their letters are there."""
    wanted = _words(item)
    return 5 * len(wanted & _words(text)) < 4 * len(wanted)


def _words(text: str) -> set[str]:
    """Return words between blanks or marks, and pairs of Han characters with nothing between them."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    found = set(re.findall(r"[^\W\d_\u3400-\u9fff]{2,}", plain))
    for run in re.findall(r"[\u3400-\u9fff]{2,}", plain):
        chars = [chr(code & int(CODE)) for code in fold([run]).chars.tolist()]
        found.update(one + other for one, other in pairwise(chars))
    return found
