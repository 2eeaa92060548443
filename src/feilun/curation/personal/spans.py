"""The kinds of personal data, and where in a text one was found.

This module knows names, labels and plain words of kinds, and which of two overlapping finds stands. It does not know
how anything is found.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace

from feilun.curation.seam import Words


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data at ``[start, end)`` of a text, in characters.

    ``confidence`` (0 to 1) is an ordering rather than a measured probability; ``rule`` names what found it.
    """

    kind: str
    start: int
    end: int
    confidence: float
    rule: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind is called in placeholders and in plain words; ``usual``: masked unless a recipe says otherwise."""

    label: str
    words: Words
    usual: bool = True


KINDS: dict[str, Kind] = {
    "RESIDENT_ID": Kind("ID", ("Chinese resident ID", "居民身份证号")),
    "SSN": Kind("ID", ("US social security number", "美国社会保障号")),
    "REGION_ID": Kind("ID", ("Hong Kong or Taiwan ID", "港台身份证号")),
    "PERMIT": Kind("PERMIT", ("travel permit", "通行证号")),
    "PASSPORT": Kind("PASSPORT", ("passport", "护照号")),
    "LICENCE": Kind("LICENCE", ("driver licence", "驾驶证号")),
    "CREDIT_CODE": Kind("CREDIT_CODE", ("unified social credit code", "统一社会信用代码")),
    "PHONE": Kind("PHONE", ("phone number", "电话号码")),
    "CARD": Kind("CARD", ("bank card", "银行卡号")),
    "CARD_DETAIL": Kind("CARD_DETAIL", ("expiry or security code of a card", "银行卡有效期或安全码")),
    "ACCOUNT": Kind("ACCOUNT", ("bank account or other account", "银行账号等账号")),
    "BANK_CODE": Kind("BANK_CODE", ("sort code or routing number", "银行分行代码")),
    "IBAN": Kind("IBAN", ("IBAN", "国际银行账号")),
    "PLATE": Kind("PLATE", ("vehicle plate", "车牌号")),
    "EMAIL": Kind("EMAIL", ("e-mail address", "电子邮箱")),
    "IP": Kind("IP", ("IP address", "IP 地址")),
    "MAC": Kind("MAC", ("MAC address", "MAC 地址")),
    "SECRET": Kind("SECRET", ("key or password", "密钥或密码")),
    "BIRTHDAY": Kind("BIRTHDAY", ("date of birth", "出生日期")),
    "ADDRESS": Kind("ADDRESS", ("postal address", "住址")),
    "NAME": Kind("NAME", ("person's name", "姓名")),
    "URL": Kind("URL", ("web address", "网址"), usual=False),
    "PLACE": Kind("PLACE", ("place", "地名"), usual=False),
    "DATE": Kind("DATE", ("date", "日期"), usual=False),
}
USUAL = tuple(kind for kind, about in KINDS.items() if about.usual)
# What an organisation may tell everybody of itself and its staff; no number of a paper, a card or an account is that.
PUBLIC = frozenset({"PHONE", "EMAIL", "ADDRESS", "NAME", "CREDIT_CODE", "BANK_CODE"})


def words(text: str) -> tuple[str, ...]:
    """Return the words of a list that is written as running text; ``_`` stands for a space within one."""
    return tuple(word.replace("_", " ") for word in text.split())


def settled(spans: Iterable[Span]) -> list[Span]:
    """Return the spans that stand, in order and without overlaps: the surer one wins, then the longer one."""
    taken: list[Span] = []
    stand = sorted(spans, key=lambda s: (s.start, -s.confidence, s.start - s.end, s.kind))
    group: list[Span] = []
    reach = -1
    for span in stand:
        if span.start >= reach and group:
            taken += _best(group)
            group = []
        group.append(span)
        reach = max(reach, span.end) if len(group) > 1 else span.end
    return taken + _best(group)


def united(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those of one kind that overlap as one: no part of a name stays beside a surer part."""
    whole: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        last = whole[-1] if whole else None
        if last and last.kind == span.kind and span.start < last.end:
            sure = max(last.confidence, span.confidence)
            whole[-1] = replace(last, end=max(last.end, span.end), confidence=sure)
        else:
            whole.append(span)
    return whole


def _best(group: list[Span]) -> list[Span]:
    if len(group) < 2:
        return group
    kept: list[Span] = []
    for span in sorted(group, key=lambda s: (-s.confidence, s.start - s.end, s.start, s.kind)):
        place = bisect_left(kept, span.start, key=lambda other: other.start)
        before_next = place == len(kept) or span.end <= kept[place].start
        if before_next and (place == 0 or kept[place - 1].end <= span.start):
            kept.insert(place, span)
    return kept
