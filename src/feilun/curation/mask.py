"""Personal data -> typed placeholders such as ``[PHONE]``; the organisation's own public facts survive.

This module knows what the pipeline of pairs masks and how sure it must be, and what an organisation publishes. It does
not know how personal data is found (``personal``), nor files.

Published is how the organisation and its staff are reached: phones, addresses, names, by which a written answer tells
everybody of it. A text that tells of a private person (of a client by name, of somebody's papers or home) publishes
nothing, and numbers of papers, cards and accounts, days of birth and passwords are published by no text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from feilun.curation.personal import KINDS, USUAL, Finder
from feilun.curation.personal.masking import key_of, label, replaced
from feilun.curation.personal.spans import PUBLIC, Span

# Addresses and names in running text are often facts about an organisation: only names given as names are masked, and
# addresses where somebody lives.
_KINDS = frozenset(USUAL) - {"CREDIT_CODE"}
_FINDER = Finder(_KINDS, 0.4)
_EVERY = Finder(frozenset(USUAL), 0.0)
_NAME_SURE, _TOLD_SURE = 0.6, 0.5
_PAPERS = frozenset(
    ["RESIDENT_ID", "SSN", "REGION_ID", "PERMIT", "PASSPORT", "LICENCE", "CARD", "CARD_DETAIL", "BIRTHDAY"]
)
_CLIENTS = (
    r"(?:\b(?:client|customer|member|patient|borrower|debtor|(?:card|account|policy) ?holder|insured|tenant|lodger"
    r"|guest|passenger|applicant|claimant|complainant|caller|visitor|pupil|student|resident|citizen|buyer"
    r"|subscriber)s?\b|客户|顾客|会员|用户|社员|储户|患者|病人|学生|学员|家长|乘客|旅客|住客|访客|租客|业主|车主|居民"
    r"|市民|读者|买家|借款人|担保人|持卡人|开户人|投保人|被保险人|受益人|申请人|投诉人|报案人|当事人|来电人|咨询人)"
)
_CLIENT_BEFORE = re.compile(rf"(?i){_CLIENTS}[\s:：,，（(\"“'是为叫]{{0,3}}(?:(?:mr|mrs|ms|miss)\b\.? ?)?$")
_CLIENT_BEHIND = re.compile(
    rf"(?i)(?:先生|女士|小姐)?(?:[\s,，、（(]{{1,2}}|(?=[是为]))(?:(?:is|was)\s)?(?:an?\s|the\s|our\s|one of our\s)?"
    rf"(?:是|为)?(?:我行|本行|我们|我院|本院)?的?{_CLIENTS}"
    r"(?=\s*(?:[,.;:!?)），。；：！？、]|\Z|who\b|whose\b|since\b|from\b|with\b|at\b|but\b|and\b))"
)
_HOME_BEFORE = re.compile(
    r"(?i)(?:居住[在于地]?|住址|(?<!入)住[在于]?|家庭地址|家在|户籍(?:所在)?地?(?:地址)?|籍贯|户口所在地"
    r"|\b(?:lives?|lived|living|resid(?:es|ed|ing)|home)\b(?: address)?(?: (?:at|in|on|is|was))?)"
    r"[\s:：,，是为在于]{0,3}$"
)
_AROUND = 24
_INTRODUCING = re.compile(r"\bI(?: am|['’]m)\b|\b(?i:my name|this is|name:)|我叫|我是|本人|我的名字|姓名")
_INTRODUCED = re.compile(rf"(?:{_INTRODUCING.pattern})(?:['’]s| is)?[\s:：,，是叫为]{{0,3}}$")
_PARTS = re.compile(r"\n\s*\n")


def published(
    told: Iterable[tuple[str, str]], clients: Collection[str] = frozenset()
) -> Iterator[tuple[str, list[Span]]]:
    """Yield the parts of texts that tell of no private person, each with what it publishes, as spans.

    ``told`` are texts, each with the question that it answers (empty for none), which may tell of a person, too;
    ``clients`` are names of private people that are known from elsewhere, in small letters.
    """
    parts = [(asked, part) for asked, text in told for part in _PARTS.split(text)]
    questions = _EVERY.find_all([asked for asked, _ in parts])
    for (asked, text), about, spans in zip(parts, questions, _EVERY.find_all([t for _, t in parts]), strict=True):
        each = [*((asked, span) for span in about), *((text, span) for span in spans)]
        if not any(_private(where, span, clients) for where, span in each):
            yield text, [span for span in spans if span.kind in PUBLIC]


def introduced(texts: Iterable[str]) -> set[str]:
    """Return the names, in small letters, by which people of conversations introduce themselves."""
    given = [text for text in texts if _INTRODUCING.search(text)]
    names = (
        text[span.start : span.end].casefold()
        for text, spans in zip(given, _FINDER.find_all(given), strict=True)
        for span in spans
        if span.kind == "NAME" and _INTRODUCED.search(text, 0, span.start)
    )
    return {name for name in names if len(name) > 1}


def _private(text: str, span: Span, clients: Collection[str]) -> bool:
    """Tell whether a find is what only a text about a private person holds."""
    before, behind = text[max(0, span.start - _AROUND) : span.start], text[span.end : span.end + _AROUND]
    if span.kind == "ADDRESS":
        return bool(_HOME_BEFORE.search(before))
    if span.kind == "NAME":
        named = _CLIENT_BEFORE.search(before) or _CLIENT_BEHIND.match(behind)
        return text[span.start : span.end].casefold() in clients or (bool(named) and span.confidence >= _TOLD_SURE)
    return span.kind in _PAPERS and span.confidence >= _TOLD_SURE


@dataclass(slots=True)
class Public:
    """What the organisation itself publishes: personal-looking data that occurs there is a fact, not a secret."""

    text: str = ""
    values: set[str] = field(default_factory=set)
    clients: frozenset[str] = frozenset()
    known: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(
        cls, texts: Iterable[str], answers: Iterable[tuple[str, str]] = (), clients: frozenset[str] = frozenset()
    ) -> Public:
        """Collect the addresses, numbers and words of public texts, and of the answers to questions."""
        found = list(published([*(("", text) for text in texts), *answers], clients))
        values = {key_of(span.kind, text[span.start : span.end]) for text, spans in found for span in spans}
        return cls("\n".join(text for text, _ in found).casefold(), values, clients)

    def has(self, kind: str, value: str) -> bool:
        """Tell whether ``value`` is public."""
        if kind != "NAME":
            return kind in PUBLIC and key_of(kind, value) in self.values
        name = value.casefold()
        if name not in self.known:
            self.known[name] = name in self.text
        return self.known[name]


def mask(text: str, public: Public, names: Iterable[str] = (), counts: Counter[str] | None = None) -> str:
    """Return ``text`` with personal data replaced by placeholders, as ``mask_together`` does."""
    return mask_together([text], public, names, counts)[0]


def mask_together(
    texts: Sequence[str], public: Public, names: Iterable[str] = (), counts: Counter[str] | None = None
) -> list[str]:
    """Return texts of one matter with personal data as placeholders; ``counts`` learns how many of each label.

    ``names`` are people known from elsewhere (speaker labels, name columns); names that one of the texts gives are
    added for all. Addresses are masked where a text tells of a private person.
    """
    tally: Counter[str] = Counter() if counts is None else counts
    found = _FINDER.find_all(texts)
    each = list(zip(texts, found, strict=True))
    told = any(_private(text, span, public.clients) for text, spans in each for span in spans)
    people = {*names, *_given(each, _TOLD_SURE if told else _NAME_SURE)}
    people = {name for name in people if len(name) > 1 and not public.has("NAME", name)}
    masked_texts: list[str] = []
    for text, spans in each:
        hidden = [
            s
            for s in spans
            if s.kind != "NAME" and (s.kind != "ADDRESS" or told) and not public.has(s.kind, text[s.start : s.end])
        ]
        tally.update(KINDS[span.kind].label for span in hidden)
        plain = replaced(text, hidden, label)
        for name in sorted(people, key=lambda n: (-len(n), n)):
            bounds = (r"(?<!\w)", r"(?!\w)") if name.isascii() else ("", "")
            plain, number = re.subn(bounds[0] + re.escape(name) + bounds[1], "[NAME]", plain)
            tally["NAME"] += number
        masked_texts.append(plain)
    return masked_texts


def named(texts: Iterable[str]) -> set[str]:
    """Return the names that texts of private people give as those of people."""
    given = list(texts)
    return _given(zip(given, _FINDER.find_all(given), strict=True), _TOLD_SURE)


def _given(found: Iterable[tuple[str, list[Span]]], sure: float) -> set[str]:
    return {text[s.start : s.end] for text, spans in found for s in spans if s.kind == "NAME" and s.confidence >= sure}


def masked(texts: Iterable[str]) -> list[str]:
    """Return texts of people, each with its personal data replaced by placeholders."""
    nothing = Public()
    return [mask(text, nothing) for text in texts]
