"""The corpus of the bench, with its truth: which rows are copies of which, and where personal data stands.

Knows how rows are made, copied and changed. Does not know how copies or personal data are found. The same seed and
size give the same bytes.

Near copies are texts in which letters were mistyped, sentences moved, left out or added, or into which something was
put at the ends; kept are those whose Jaccard index of 5-character shingles with the original is at least 0.7. Rows
that share half their sentences are there to be kept.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from curation import planted
from curation.words import Sentences
from feilun.records import JSON

EXACT, NEAR, HALF, PERSONAL, ALIKE = 0.08, 0.10, 0.02, 0.06, 0.05  # shares of rows
FURNITURE = (
    "Share this page · Print · Back to top",
    "All rights reserved. No part may be reproduced without permission.",
    "版权所有，未经许可不得转载。",
    "上一篇 下一篇 返回顶部",
)
_COMMON = (
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会"
    "可主发年动同工也能下过子说产种面而方后多定行学法所民得经"
)
_KEPT_BACK = 3000  # rows that copies are made of


@dataclass(slots=True)
class Truth:
    """Of each row that is a copy, of which (group), and how; of each row with personal data, what stands in it."""

    groups: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    personal: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


@dataclass(slots=True)
class _Page:
    id: str
    sentences: list[str]
    chinese: bool
    personal: list[tuple[str, str]]

    @property
    def text(self) -> str:
        """Return the page's text: paragraphs of a few sentences."""
        glue = "" if self.chinese else " "
        parts = [glue.join(self.sentences[at : at + 4]) for at in range(0, len(self.sentences), 4)]
        return "\n".join(parts)


def shingled(text: str) -> set[str]:
    """Return the 5-character shingles of a text without blanks."""
    plain = "".join(text.split())
    return {plain[at : at + 5] for at in range(max(1, len(plain) - 4))}


def jaccard(one: str, other: str) -> float:
    """Return the Jaccard index of the 5-character shingles of two texts."""
    a, b = shingled(one), shingled(other)
    return len(a & b) / len(a | b)


class Corpus:
    """Rows, one after another; ``truth`` grows with them."""

    def __init__(self, seed: int) -> None:
        """Begin at ``seed``."""
        self._rng = random.Random(seed)
        self._sentences = {chinese: Sentences(random.Random(seed * 2 + chinese), chinese) for chinese in (False, True)}
        self._pages: list[_Page] = []
        self._count = 0
        self.truth = Truth()

    def rows(self, size: int) -> Iterator[JSON]:
        """Yield rows until their texts have ``size`` bytes."""
        made = 0
        while made < size:
            row = self._row()
            made += len(row["text"].encode())
            yield row

    def _row(self) -> JSON:
        rng = self._rng
        self._count += 1
        name = f"doc-{self._count:08d}"
        draw = rng.random()
        if len(self._pages) > 50 and draw < EXACT + NEAR + HALF:
            page = rng.choice(self._pages)
            if draw < EXACT:
                return self._told(name, page, page.text, "exact", page.personal)
            if draw < EXACT + NEAR:
                text = self._changed(page)
                return self._told(name, page, text, "near", ()) if text else self._fresh(name)
            return {"id": name, "text": self._half(name, page).text}
        return self._fresh(name)

    def _told(self, name: str, page: _Page, text: str, kind: str, personal: object) -> JSON:
        self.truth.groups[name] = self.truth.groups[page.id] = page.id
        self.truth.kinds[name] = kind
        if personal:
            self.truth.personal[name] = list(page.personal)
        return {"id": name, "text": text}

    def _fresh(self, name: str) -> JSON:
        rng = self._rng
        chinese = rng.random() < 0.5
        source = self._sentences[chinese]
        source.about()
        lines = source.many(min(120, max(4, int(rng.lognormvariate(2.6, 0.7)))))
        if rng.random() < 0.1:  # both languages in one text
            lines[len(lines) // 2 :] = self._sentences[not chinese].many(len(lines) // 3 + 1)
        page = _Page(name, lines, chinese, [])
        if rng.random() < PERSONAL:
            for _ in range(rng.randint(1, 3)):
                kind, value, told = planted.sentence(rng, chinese)
                page.personal.append((kind, value))
                lines.insert(rng.randrange(len(lines)), told)
            self.truth.personal[name] = page.personal
        elif rng.random() < ALIKE:
            lines.insert(rng.randrange(len(lines)), planted.lookalike(rng, chinese))
        if rng.random() < 0.2:
            lines.append(("" if chinese else " ") + rng.choice(FURNITURE[2:] if chinese else FURNITURE[:2]))
        if rng.random() < 0.3:
            self._keep(page)
        return {"id": name, "text": page.text}

    def _keep(self, page: _Page) -> None:
        if len(self._pages) < _KEPT_BACK:
            self._pages.append(page)
        else:
            self._pages[self._rng.randrange(_KEPT_BACK)] = page

    def _half(self, name: str, page: _Page) -> _Page:
        """Return a page that shares half its sentences with another."""
        half = len(page.sentences) // 2
        own = self._sentences[page.chinese].many(len(page.sentences) - half)
        return _Page(name, page.sentences[:half] + own, page.chinese, [])

    def _changed(self, page: _Page) -> str:
        """Return a near copy, or nothing if the page is too short for one."""
        if page.personal:
            return ""
        text = page.text
        for _ in range(4):
            lines = self._edited(page)
            new = _Page("", lines, page.chinese, []).text
            if self._rng.random() < 0.5:
                new = self._mistyped(new, page.chinese, self._rng.uniform(0.001, 0.03))
            if new != text and jaccard(text, new) >= 0.7:
                return new
        return ""

    def _edited(self, page: _Page) -> list[str]:
        rng, lines = self._rng, list(page.sentences)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(lines))
            how = rng.randrange(5)
            if how == 0:
                lines.insert(rng.randrange(len(lines)), lines.pop(at))
            elif how == 1 and len(lines) > 5:
                lines.pop(at)
            elif how == 2:
                lines.insert(at, self._sentences[page.chinese].one())
            elif how == 3:
                rng.shuffle(lines)
            else:
                lines = [rng.choice(FURNITURE), *lines, rng.choice(FURNITURE)]
        return lines

    def _mistyped(self, text: str, chinese: bool, share: float) -> str:
        rng = self._rng
        letters = _COMMON if chinese else string.ascii_lowercase
        chars = list(text)
        for _ in range(max(1, int(share * len(chars)))):
            at = rng.randrange(len(chars))
            if chars[at].isalpha():
                how = rng.randrange(3)
                chars[at] = rng.choice(letters) if how == 0 else "" if how == 1 else chars[at] + rng.choice(letters)
        return "".join(chars)


def write(folder: Path, size: int, seed: int) -> tuple[Path, Truth]:
    """Write ``rows.jsonl`` of about ``size`` bytes of text and return it with its truth."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rows-{size}-{seed}.jsonl"
    corpus = Corpus(seed)
    with path.open("w", encoding="utf-8") as file:
        for row in corpus.rows(size):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path, corpus.truth
