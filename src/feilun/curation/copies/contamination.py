"""Rows that give away an exam: its items as they are, in another script, without blanks, reordered, or in part.

This module knows how an item can be hidden in a row. It does not know exams' files nor how items are answered.

Compared are shingles of folded characters without blanks (containment, as in GPT-3's and Llama's decontamination, with
characters instead of words). A shingle that many items share, such as how questions begin, tells nothing. Items too
short for that count where a whole text or line is the item. A character too few or too many takes several shingles of a
short item, so there the characters themselves are looked at (:mod:`alike`).
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from feilun.curation.copies.alike import is_slip, same_figures, slip
from feilun.curation.copies.fold import CODE, GAP, Chars, Folded, fold
from feilun.curation.copies.sketches import DENSE, SPARSE, pieces, shingles
from feilun.curation.seam import Note, Row, Ruling

SAME, CONTAINED, SLIP, PART, OPTIONS, MEANING, PERHAPS = (
    "exam_item",
    "exam_contained",
    "exam_slip",
    "exam_part",
    "exam_options",
    "exam_meaning",
    "exam_perhaps",
)
_DOUBTFUL = frozenset({PERHAPS, MEANING})  # for a person to decide
FEW, FEW_DENSE, SOME = 9, 5, 32  # telling shingles: items with fewer count as a whole, with fewer than SOME nearly so
_SLIP = SPARSE + 1  # shingles that one character changes, at most
_PENNED = 24  # letters, a Han character counting as two, of items in which one character makes no difference
MOST, NEARLY, HALF = 0.75, 0.9, 0.5
_PIECE_OF = 24  # shingles that a row which is part of an item has at least
_ASKED = 4000  # characters of the longest text that is read as a question with choices
_FAR = 4  # texts so many times as long as an item are looked at in parts
_OFTEN = 3  # items that may share a shingle that tells
_TABLE = 22  # bits of a hash by which most shingles of no item are known
_SHOWN = 60
_MEANT = 0.93  # cosine
_LONGEST = 600  # characters of texts whose meaning is compared
_OPTION = re.compile(
    r"(?:^|(?<=[\s,;，；。?？]))[(（]?[A-Ha-h①-⑧][)）.．、:：]|(?:^|(?<=\s))[(（][1-8][)）]|[①-⑧]", re.MULTILINE
)
_SECOND = re.compile(r"②|[Bb2][)）.．、:：]")
Ints = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Index:
    """Items by shingles: ``hashes`` sorted, ``items`` beside them, ``sizes`` telling shingles of each item."""

    hashes: Chars
    items: Ints
    sizes: Ints
    maybe: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Hit:
    """What a text gives away: how, of which exam text (its number), how much of it (0-1), and by which item."""

    reason: str
    exam: int
    score: float
    item: int = -1

    @property
    def order(self) -> tuple[bool, float]:
        """Return what is the less, the surer it is."""
        return self.reason in _DOUBTFUL, -self.score


@dataclass(slots=True)
class Decontaminate:
    """Drops rows that hold an item of an exam, or a part of one; flags those that hold half of one."""

    exams: Sequence[str]
    containment: float = MOST
    embed: Callable[[Sequence[str]], np.ndarray] | None = None
    _items: list[tuple[str, int]] = field(default_factory=list)  # what is looked for, and of which exam text it is
    _whole: dict[bytes, int] = field(default_factory=dict)
    _options: dict[bytes, int] = field(default_factory=dict)
    _brief: int = 0  # characters of the longest item that counts as a whole only
    _chars: list[str] = field(default_factory=list)  # what is compared of each item
    _dense: list[bool] = field(default_factory=list)
    _index: _Index = field(init=False)
    _meanings: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Index the items, and questions with choices without these as well."""
        self.exams = [text for text in dict.fromkeys(self.exams) if text.strip()]
        asked = _choices(self.exams)
        often = Counter(stem for stem, _ in asked)
        stems = [(stem, number) for number, (stem, _) in enumerate(asked) if stem and often[stem] == 1]
        self._items = [*((text, number) for number, text in enumerate(self.exams)), *stems]
        folded = blankless([text for text, _ in self._items])
        # Reversed, so that of equal items the first is named.
        self._whole = {whole: place for place, whole in [*enumerate(_sums(folded))][::-1] if whole}
        self._options = {told: number for number, (_, told) in [*enumerate(asked)][::-1] if told}
        bare = unsigned(folded)
        self._index = _indexed(bare)
        self._chars = [_said(bare, number) for number in range(len(self._items))]
        self._dense = [2 * _weight(chars) > 3 * len(chars) for chars in self._chars]
        brief = [len(text) for (text, _), size in zip(self._items, self._index.sizes, strict=True) if size < SOME]
        self._brief = max(brief, default=0)

    def judge(self, rows: Sequence[Row]) -> list[Sequence[Ruling]]:
        """Return the rulings: which item a row gives away, and how."""
        found: list[Sequence[Ruling]] = [()] * len(rows)
        if not self.exams or not rows:
            return found
        texts: list[str] = []
        owners: list[int] = []
        for number, row in enumerate(rows):
            said = [text for role, text in zip(row.roles, row.texts, strict=True) if role != "label"]
            texts += said
            owners += [number] * len(said)
        best: dict[int, Hit] = {}
        for place, told in self.look(texts):
            # What is asked of plan 3 may differ from what is asked of plan 4 in nothing else.
            other = told.reason == CONTAINED and not same_figures(self._items[told.item][0], texts[place])
            hit = replace(told, reason=PERHAPS) if other else told
            number = owners[place]
            if number not in best or hit.order < best[number].order:
                best[number] = hit
        if self.embed is not None:
            best.update(self._by_meaning([number for number in range(len(rows)) if number not in best], rows))
        for number, hit in best.items():
            found[number] = (self._ruling(hit),)
        return found

    def look(self, texts: Sequence[str]) -> list[tuple[int, Hit]]:
        """Return (place, hit) for texts that give an item away: all hits of each text."""
        return [(start + at, hit) for start, end in pieces(texts) for at, hit in self._look(texts[start:end])]

    def _look(self, texts: Sequence[str]) -> list[tuple[int, Hit]]:
        folded = blankless(texts)
        found: list[tuple[int, Hit]] = []
        told = [key for _, key in _choices(texts)] if self._options else [b""] * len(texts)
        for place, (whole, options) in enumerate(zip(_sums(folded), told, strict=True)):
            if whole in self._whole:
                found += self._same(place, self._whole[whole], texts[place])
            elif options in self._options:
                found.append((place, Hit(OPTIONS, self._options[options], 1.0)))
        return [*found, *self._lines(texts), *self._contained(unsigned(folded), texts)]

    def _same(self, place: int, item: int, text: str) -> list[tuple[int, Hit]]:
        return [(place, self._hit(SAME, item, 1.0))] if same_figures(self._items[item][0], text) else []

    def _lines(self, texts: Sequence[str]) -> list[tuple[int, Hit]]:
        """Return (place, hit) where a line of a text is a brief item: one question of a list."""
        lines: list[str] = []
        owners: list[int] = []
        for place, text in enumerate(texts):
            if "\n" in text:
                parts = [line for line in text.split("\n") if 4 <= len(line) <= 2 * self._brief]
                lines += parts
                owners += [place] * len(parts)
        sums = _sums(blankless(lines)) if lines else []
        hits = [each for each in zip(owners, sums, lines, strict=True) if each[1] in self._whole]
        return [hit for place, told, line in hits for hit in self._same(place, self._whole[told], line)]

    def _contained(self, folded: Folded, texts: Sequence[str]) -> list[tuple[int, Hit]]:
        """Return (place, hit) for texts that share shingles with an item."""
        index = self._index
        if not index.hashes.size:
            return []
        hashes, bounds = shingles(folded)
        hits = np.flatnonzero(index.maybe[hashes >> np.uint32(32 - _TABLE)])
        low = np.searchsorted(index.hashes, hashes[hits], "left")
        many = np.searchsorted(index.hashes, hashes[hits], "right") - low
        place = np.repeat(np.searchsorted(bounds, hits, "right") - 1, many)
        nth = np.arange(place.size) - np.repeat(np.cumsum(many) - many, many)
        entry = np.repeat(low, many) + nth
        # A shingle counts once for a text and an item, however often it stands there.
        once = np.unique(place * index.hashes.size + entry)
        pairs, shared = np.unique(
            once // index.hashes.size * index.sizes.size + index.items[once % index.hashes.size], return_counts=True
        )
        ats, items, lengths = pairs // index.sizes.size, pairs % index.sizes.size, np.diff(bounds)
        enough = (shared >= HALF * index.sizes[items]) | (shared >= NEARLY * lengths[ats])
        said: dict[int, str] = {}
        found: list[tuple[int, Hit]] = []
        for at, item, count in np.stack([ats, items, shared], axis=1)[enough].tolist():
            size, near = int(index.sizes[item]), count
            if 4 * count >= size and lengths[at] > _FAR * size:
                # In a long text common words add up: only what stands close together counts.
                where = hits[np.repeat(np.arange(hits.size), many)[(place == at) & (index.items[entry] == item)]]
                near = min(count, _closest(where, 2 * size + SPARSE))
            of_item, of_text = near / size, near / int(lengths[at])
            if size - _SLIP <= near < size and _weight(self._chars[item]) >= _PENNED:
                text = said[at] if at in said else said.setdefault(at, _said(folded, at))
                if (differs := slip(self._chars[item], text)) and same_figures(self._items[item][0], texts[at]):
                    found.append((at, self._hit(SLIP if is_slip(*differs) else PERHAPS, item, of_item)))
            if of_item >= self._wanted(item):
                found.append((at, self._hit(CONTAINED, item, of_item)))
            elif of_text >= NEARLY and near >= _PIECE_OF:
                found.append((at, self._hit(PART, item, of_text)))
            elif of_item >= HALF and size >= SOME:
                found.append((at, self._hit(PERHAPS, item, of_item)))
        return found

    def _wanted(self, item: int) -> float:
        size = int(self._index.sizes[item])
        if size < FEW:
            # Han characters tell more than letters, if none of them is common.
            all_tell = size >= max(FEW_DENSE, len(self._chars[item]) - DENSE + 1)
            return 1.0 if self._dense[item] and all_tell else 2.0
        return max(0.95, self.containment) if size < SOME else self.containment

    def _by_meaning(self, numbers: Sequence[int], rows: Sequence[Row]) -> list[tuple[int, Hit]]:
        if self.embed is None:
            return []
        asked = [(n, text) for n in numbers for text in rows[n].texts if 8 <= len(text) <= _LONGEST]
        if not asked:
            return []
        if self._meanings is None:
            self._meanings = np.asarray(self.embed([text[:_LONGEST] for text in self.exams]), np.float32)
        likeness = np.asarray(self.embed([text for _, text in asked]), np.float32) @ self._meanings.T
        nearest = likeness.argmax(axis=1)
        found: dict[int, Hit] = {}
        for (number, _), item, score in zip(asked, nearest.tolist(), likeness.max(axis=1).tolist(), strict=True):
            if score >= _MEANT:
                found.setdefault(number, Hit(MEANING, item, score))
        return list(found.items())

    def _hit(self, reason: str, item: int, score: float) -> Hit:
        return Hit(reason, self._items[item][1], score, item)

    def _ruling(self, hit: Hit) -> Ruling:
        shown = " ".join(self.exams[hit.exam].split())
        note = Note(hit.reason, shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…")
        return Ruling("flag" if hit.reason in _DOUBTFUL else "drop", note, round(hit.score, 3))


def blankless(texts: Sequence[str]) -> Folded:
    """Fold texts and forget where words begin: an item may have lost its blanks."""
    folded = fold(texts)
    folded.chars[:] &= ~GAP
    return folded


def _sums(folded: Folded) -> list[bytes]:
    """Return a sum of each text; nothing for one without characters."""
    bounds = folded.bounds.tolist()
    parts = (folded.chars[start:end] for start, end in itertools.pairwise(bounds))
    return [hashlib.blake2b(part.tobytes(), digest_size=16).digest() if part.size else b"" for part in parts]


def unsigned(folded: Folded) -> Folded:
    """Return folded texts without signs: what was typed in again often lost them."""
    code = folded.chars & CODE
    sign = (code < 48) | ((code > 57) & (code < 65)) | ((code > 0x2000) & (code < 0x2C00))
    kept = np.zeros(code.size + 1, np.int64)
    np.cumsum(~sign, out=kept[1:])
    return Folded(folded.chars[~sign], kept[folded.bounds])


def _said(folded: Folded, number: int) -> str:
    """Return the characters of a text that are compared."""
    chars = folded.chars[folded.bounds[number] : folded.bounds[number + 1]] & CODE
    return chars.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _weight(chars: str) -> int:
    """Return the number of letters, a Han character counting as two."""
    return len(chars) + sum("\u3400" <= char < "\ufb00" for char in chars)


def _choices(texts: Sequence[str]) -> list[tuple[str, bytes]]:
    """Return of each text the question without its choices, and a sum that is the same in whatever order these stand.

    Both are empty where there are no choices.
    """
    parts = [parted(text) for text in texts]
    sums = iter(_sums(blankless([part for each in parts for part in each])))
    found: list[tuple[str, bytes]] = []
    for each in parts:
        told, *rest = itertools.islice(sums, len(each)) if each else [b""]
        many = len(set(rest))
        found.append((each[0], b"".join([told, *sorted(set(rest))])) if told and many >= 3 else ("", b""))
    return found


def parted(text: str) -> list[str]:
    """Return the question and its choices; nothing where there are none."""
    if len(text) > _ASKED or not _SECOND.search(text):
        return []
    marks = list(itertools.islice(_OPTION.finditer(text), 30))
    if len(marks) < 3:
        return []
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    options = [text[mark.end() : end].split("\n\n")[0] for mark, end in zip(marks, ends, strict=True)]
    return [text[: marks[0].start()], *options]


def _closest(where: Ints, reach: int) -> int:
    """Return how many of ascending places stand within ``reach`` at most."""
    return int((np.searchsorted(where, where + reach) - np.arange(where.size)).max(initial=0))


def _indexed(folded: Folded) -> _Index:
    hashes, bounds = shingles(folded)
    items = np.repeat(np.arange(bounds.size - 1), np.diff(bounds))
    once = np.unique((hashes.astype(np.uint64) << np.uint64(32)) | items.astype(np.uint64))
    found = (once >> np.uint64(32)).astype(np.uint32)
    items = (once & np.uint64(0xFFFFFFFF)).astype(np.int64)
    _, which, often = np.unique(found, return_inverse=True, return_counts=True)
    most = max(_OFTEN, bounds.size // 100)
    tells = often[which] <= most
    found, items = found[tells], items[tells]
    maybe = np.zeros(1 << _TABLE, bool)
    maybe[found >> np.uint32(32 - _TABLE)] = True
    return _Index(found, items, np.bincount(items, minlength=bounds.size - 1).astype(np.int64), maybe)
