"""The operator ``personal``: personal data in rows becomes placeholders, and each kind is told.

This module knows parameters and plain words. It does not know rules or keys' places.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from feilun.curation.personal.find import Finder
from feilun.curation.personal.masking import Pseudonyms, Reversible, Writer, key_of, label, replaced
from feilun.curation.personal.spans import KINDS, PUBLIC, USUAL, Span
from feilun.curation.seam import Mended, Note, Operator, Parameter, Row, Surroundings
from feilun.errors import InputError


class KeyMissingError(InputError):
    """Pseudonyms were asked for, and no key is at hand."""

    code = "personal_key_missing"


class UnknownKindError(InputError):
    """A kind was named that there is not."""

    code = "personal_kind_unknown"


@dataclass(frozen=True, slots=True)
class Personal:
    """Masks what ``finder`` finds by ``writer``; without a writer, only tells what is there."""

    finder: Finder
    writer: Writer | None
    published: frozenset[str] = frozenset()

    def mend(self, texts: Sequence[str], langs: Sequence[str]) -> list[Mended | None]:
        """Return each text with its personal data masked; None where there is none."""
        del langs  # rules of both languages run on every text: languages are mixed in the texts of life
        return [
            self._mended(text, secret) if (secret := self._secret(text, spans)) else None
            for text, spans in zip(texts, self.finder.find_all(texts), strict=True)
        ]

    def mend_rows(self, rows: Sequence[Row]) -> list[Sequence[Mended | None]]:
        """Return each row's texts, masked; people that one of them names are masked in all, and those of its place."""
        found = iter(self.finder.find_all([text for row in rows for text in row.texts]))
        answers: list[Sequence[Mended | None]] = []
        for row in rows:
            spans = [next(found) for _ in row.texts]
            whole = self.finder.find_together(row.texts, spans, row.meta.get("people", ()))
            secrets = [self._secret(text, spans) for text, spans in zip(row.texts, whole, strict=True)]
            answers.append([self._mended(*each) if each[1] else None for each in zip(row.texts, secrets, strict=True)])
        return answers

    def _secret(self, text: str, spans: list[Span]) -> list[Span]:
        """Return the finds that the organisation does not publish itself."""
        if not self.published:
            return spans
        return [
            span
            for span in spans
            if span.kind not in PUBLIC or key_of(span.kind, text[span.start : span.end]) not in self.published
        ]

    def _mended(self, text: str, spans: list[Span]) -> Mended:
        told = Counter(span.kind for span in spans)
        notes = tuple(
            Note(f"personal_{kind.lower()}", KINDS[kind].label, times) for kind, times in sorted(told.items())
        )
        return Mended(text if self.writer is None else replaced(text, spans, self.writer), notes)


def _make(
    surroundings: Surroundings, *, kinds: tuple[str, ...], mode: str, minimum: float, published: bool
) -> Personal:
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise UnknownKindError(f"unknown kinds: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    finder = Finder(frozenset(kinds), minimum)
    known = frozenset() if published else frozenset(surroundings.published)
    if mode == "flag":
        return Personal(finder, None, known)
    if mode == "label":
        return Personal(finder, label, known)
    key = surroundings.key
    if not key:
        raise KeyMissingError(f"the mode {mode} needs the workspace's key")
    return Personal(finder, Pseudonyms(key) if mode == "pseudonym" else Reversible(key), known)


OPERATORS: tuple[Operator, ...] = (
    Operator(
        name="personal",
        version=4,
        about=(
            "Finds personal data (papers, phones, cards, accounts, plates, addresses, names, keys) and masks it.",
            "发现个人信息（证件、电话、银行卡、账号、车牌、住址、姓名、密钥等）并脱敏。",
        ),
        origin=(
            "GB 11643 and ISO 7064 (resident IDs), GB 32100 (credit codes), ISO/IEC 7812 (cards), ISO 13616 (IBAN), "
            "GA 36 (plates), GB/T 35273 (what personal information is); RFC 2104 for pseudonyms"
        ),
        reasons={
            f"personal_{kind.lower()}": (f"personal data: {about.words[0]}", f"个人信息：{about.words[1]}")
            for kind, about in KINDS.items()
        },
        make=_make,
        parameters={
            "kinds": Parameter(
                USUAL, ("kinds of personal data to look for", "要查找的个人信息种类"), choices=tuple(KINDS)
            ),
            "mode": Parameter(
                "label",
                (
                    (
                        "label: [PHONE]; pseudonym: [PHONE_…], the same for the same value under the workspace's key; "
                        "reversible: [PHONE:…], which feilun unmask undoes with that key; flag: only told"
                    ),
                    (
                        "label：[PHONE]；pseudonym：[PHONE_…]，同一工作区密钥下相同的值得到相同的化名；"
                        "reversible：[PHONE:…]，可用该密钥以 feilun unmask 还原；flag：只报告，不改动"
                    ),
                ),
                choices=("label", "pseudonym", "reversible", "flag"),
            ),
            "minimum": Parameter(0.5, ("how sure a find must be (0 to 1)", "最低置信度（0 到 1）"), low=0.0, high=1.0),
            "published": Parameter(
                False,
                (
                    "also what the organisation itself tells everybody in its written answers, such as its hotline",
                    "也包括机构自己在书面答复中公布的内容，例如热线电话",
                ),
            ),
        },
    ),
)
