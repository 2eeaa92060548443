"""Personal data -> typed placeholders such as ``[PHONE]``; the organisation's own public facts survive.

This module knows what the pipeline of pairs masks and how sure it must be. It does not know how personal data is found
(``personal``), pairs or files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from feilun.curation.personal import KINDS, USUAL, Finder
from feilun.curation.personal.masking import key_of, label, replaced

# Addresses and names in running text are often facts about an organisation: only names given as names are masked.
_KINDS = frozenset(USUAL) - {"ADDRESS", "CREDIT_CODE"}
_FINDER = Finder(_KINDS, 0.4)
_PUBLISHED = Finder(frozenset(KINDS) - {"NAME", "PLACE", "DATE", "URL"}, 0.0)
_NAME_SURE = 0.6


@dataclass(slots=True)
class Public:
    """What the organisation itself publishes: personal-looking data that occurs there is a fact, not a secret."""

    text: str = ""
    values: set[str] = field(default_factory=set)
    known: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Public:
        """Collect the addresses, numbers and words of the public texts."""
        whole = list(texts)
        found = {
            key_of(span.kind, text[span.start : span.end])
            for text, spans in zip(whole, _PUBLISHED.find_all(whole), strict=True)
            for span in spans
        }
        return cls("\n".join(whole).casefold(), found)

    def has(self, kind: str, value: str) -> bool:
        """Tell whether ``value`` is public."""
        if kind != "NAME":
            return key_of(kind, value) in self.values
        name = value.casefold()
        if name not in self.known:
            self.known[name] = name in self.text
        return self.known[name]


def mask(text: str, public: Public, names: Iterable[str] = (), counts: Counter[str] | None = None) -> str:
    """Return ``text`` with personal data replaced by placeholders; ``counts`` learns how many of each label.

    ``names`` are people known from elsewhere (speaker labels, name columns); names that the text gives are added.
    """
    tally: Counter[str] = Counter() if counts is None else counts
    found = _FINDER.find(text)
    people = {text[s.start : s.end] for s in found if s.kind == "NAME" and s.confidence >= _NAME_SURE}
    hidden = [s for s in found if s.kind != "NAME" and not public.has(s.kind, text[s.start : s.end])]
    tally.update(KINDS[span.kind].label for span in hidden)
    text = replaced(text, hidden, label)
    people = {name for name in {*names, *people} if len(name) > 1 and not public.has("NAME", name)}
    for name in sorted(people, key=lambda n: (-len(n), n)):
        bounds = (r"(?<!\w)", r"(?!\w)") if name.isascii() else ("", "")
        text, number = re.subn(bounds[0] + re.escape(name) + bounds[1], "[NAME]", text)
        tally["NAME"] += number
    return text


def masked(texts: Iterable[str]) -> list[str]:
    """Return texts of people, each with its personal data replaced by placeholders."""
    nothing = Public()
    return [mask(text, nothing) for text in texts]
