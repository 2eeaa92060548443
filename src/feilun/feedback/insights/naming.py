"""What a group of questions is called: its most typical one, and the terms that set it apart, as people wrote them.

This module knows texts without personal data. It does not know what the texts are about.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

TERMS = 4
_LONGEST_CHINESE = 5
_LONGEST_QUESTION = 160
_WORD = re.compile(r"[\u3400-\u9fff]+|\[[A-Z_]+\]|[^\W_\u3400-\u9fff]+(?:['’-][^\W_\u3400-\u9fff]+)*")
_HAN = re.compile(r"[\u3400-\u9fff]")
_SMALL = frozenset(
    re.findall(
        r"\S+",
        """a about after all allowed also am an and any anyone anything are as ask asking at available be because been
        before being but by can can't cannot cost costs could did do does doesn't doing don't for from get give go got
        had has have hello help her here hey hi him his how how's i i'd i'm if in into is isn't it its just kindly know
        like long made make many may me might more most much must my need new no not of off offer often ok okay on one
        only or our out over per please possible question quick really she should so some somebody someone still take
        tell than thank thanks that the their them then there there's these they this to too up us use very want was way
        we were what what's when where where's which while who whom why will with without won't work works would yes you
        your""",
    )
)
_EMPTY = frozenset(
    "的了吗呢吧啊是在我你您他她它们这那有没和与或就都也要想能可以会不怎么哪里什么多少请问一个谁把被给到去来上下为从对"
)


def terms(inside: Sequence[str], outside: Sequence[str], most: int = TERMS) -> tuple[str, ...]:
    """Return the words that many of ``inside`` have and few of ``outside``, the most telling first."""
    here, there = _shares(inside), _shares(outside)
    scored = []
    for term, share in here.items():
        count = round(share * len(inside))
        if count < min(2, len(inside)):
            continue
        other = there.get(term, 0.0)
        length = math.sqrt(len(term)) if _HAN.match(term) else 1.0 + 0.15 * term.count(" ")
        scored.append((-share * math.log((share + 0.01) / (other + 0.01)) * length, term))
    chosen: list[str] = []
    for score, term in sorted(scored):
        if score < 0 and not any(_overlap(term, known) for known in chosen):
            chosen.append(term)
        if len(chosen) == most:
            break
    return tuple(chosen)


def typical(texts: Sequence[str], rows: np.ndarray, middle: np.ndarray) -> str:
    """Return the text nearest to the middle of all; of equals the shortest, then the first in the alphabet."""
    near = (rows @ middle).round(6).tolist()
    best = min(range(len(texts)), key=lambda place: (-near[place], len(texts[place]), texts[place]))
    return shortened(texts[best])


def shortened(text: str) -> str:
    """Return a question on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_QUESTION else f"{line[: _LONGEST_QUESTION - 1]}…"


def _shares(texts: Sequence[str]) -> dict[str, float]:
    counts = Counter(term for text in texts for term in _terms_of(text))
    return {term: count / len(texts) for term, count in counts.items()}


def _terms_of(text: str) -> set[str]:
    found: set[str] = set()
    before = ""
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text)):
        word = match[0].casefold()
        if match[0].startswith("["):  # what stands in the place of personal data
            before = ""
        elif _HAN.match(word):
            found |= _chinese(word)
            before = ""
        elif word in _SMALL or (len(word) < 2 and not word.isdigit()):
            before = ""
        else:
            found |= {word, f"{before} {word}"} if before else {word}
            before = word
    return found


def _chinese(run: str) -> set[str]:
    """Return the parts of a run of characters that begin and end with a telling one."""
    sizes = range(2, _LONGEST_CHINESE + 1)
    parts = (run[at : at + size] for size in sizes for at in range(len(run) - size + 1))
    return {part for part in parts if not _EMPTY & set(part)}


def _overlap(term: str, known: str) -> bool:
    """Say whether two terms say the same: one is in the other, or they share most of a word."""
    if term in known or known in term:
        return True
    if _HAN.match(term) and _HAN.match(known):
        return bool(set(term) & set(known))
    first, second = sorted((term, known), key=len)
    return len(first) > 3 and second.startswith(first[: max(4, len(first) - 2)])
