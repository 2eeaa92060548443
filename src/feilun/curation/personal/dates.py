"""Dates that say when a person was born, details of bank cards; other dates for those who ask.

This module knows how dates are written in Chinese and English, and the words beside them. It does not know calendars
other than the Gregorian.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from feilun.curation.personal.signs import At
from feilun.curation.personal.spans import Span

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_HAN = "[0-9〇零○一二三四五六七八九十]"
_DATE = (
    rf"(?:19|20)[0-9]{{2}}\s?[-/.年]\s?[0-9]{{1,2}}\s?[-/.月]\s?[0-9]{{1,2}}(?:\s?[日号])?"
    rf"|[0-9]{{1,2}}[-/.][0-9]{{1,2}}[-/.](?:[0-9]{{4}}|[0-9]{{2}})(?![0-9])"
    rf"|[0-9]{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH},? [0-9]{{4}}"
    rf"|{_MONTH} [0-9]{{1,2}}(?:st|nd|rd|th)?,? [0-9]{{4}}"
    rf"|{_HAN}{{4}}年{_HAN}{{1,3}}月(?:{_HAN}{{1,3}}[日号])?"
    rf"|(?:19|20)[0-9]{{2}}年[0-9]{{1,2}}月|(?:19|20)(?:[0-9]{{2}})(?:0[1-9]|1[0-2])(?:[0-2][0-9]|3[01])(?![0-9])"
)
_BORN = re.compile(
    r"(?i)(?:出生(?:日期|年月日|年月|时间|于)?|生日|生于|\bborn(?: on| in)?|\b(?:date of birth|birth "
    r"?date|birthday|d\.?o\.?b\.?))"
    rf"(?:\s?[\"']?\s?[:：=]?\s?(?:是在|是|为|在|於|于|is|was)?\s{{0,2}})[\"']?(?P<date>{_DATE})"
)
_BORN_WORDS = ("出生", "生日", "生于", "born", "birth", "date of birth", "dob", "d.o.b")
_THEN_WORDS = ("日生", "日出生", "月生", "月出生", "号生", "号出生", "出生", *(f"{digit}生" for digit in range(10)))
_DETAIL_WORDS = ("有效期", "失效日期", "expir", "exp ", "exp:", "exp.", "exp：", "valid ")
_CODE_WORDS = ("cvv", "cvc", "cvn", "安全码", "校验码", "security code")
WORDS = (*_BORN_WORDS, *_THEN_WORDS, *_DETAIL_WORDS, *_CODE_WORDS)
_THEN_BORN = re.compile(rf"(?i)(?P<date>{_DATE})\s?(?:出)?生(?![产效成日意活])")
_DETAIL = re.compile(
    r"(?i)(?:有效期(?:限)?(?:至|到|为|是)?|失效日期|\bexp(?:iry|ires?|iration)?(?: date)?\b\.?|valid "
    r"(?:thru|until|through))\s?(?:is|on|at)?\s?[:：]?\s?"
    r"(?P<date>(?:0[1-9]|1[0-2])\s?[/\-]\s?(?:20)?[2-4][0-9])(?![0-9/\-])"
)
_CODE = re.compile(
    r"(?i)(?:\bcvv2?|\bcvc2?|\bcvn2?|安全码|校验码后三位|security code)\s?(?:是|为"
    r"|is)?\s?[:：]?\s?(?P<code>[0-9]{3,4})(?![0-9])"
)
_ANY = re.compile(
    rf"(?i)(?<![0-9A-Za-z.\-/])(?:{_DATE})(?:[ T][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}})?)?(?![0-9])"
    rf"|\b[0-9]{{1,2}} {_MONTH}\b|\b{_MONTH} [0-9]{{1,2}}(?:st|nd|rd|th)?\b"
)


def birthdays(text: str, at: At) -> Iterator[Span]:
    """Yield dates of birth: dates beside words that say so."""
    for place in at.of(_BORN_WORDS):
        if match := _BORN.match(text, place):
            yield Span("BIRTHDAY", *match.span("date"), 0.9, "born")
    for place in at.of(_THEN_WORDS):
        match = _THEN_BORN.search(text, max(0, place - 16), place + 5)
        if match:
            yield Span("BIRTHDAY", *match.span("date"), 0.85, "then_born")


def card_details(text: str, at: At) -> Iterator[Span]:
    """Yield when a bank card expires, and its security code."""
    for place in at.of(_DETAIL_WORDS):
        if match := _DETAIL.match(text, place):
            yield Span("CARD_DETAIL", *match.span("date"), 0.75, "expiry")
    for place in at.of(_CODE_WORDS):
        if match := _CODE.match(text, place):
            yield Span("CARD_DETAIL", *match.span("code"), 0.85, "security_code")


def dates(text: str, _: At) -> Iterator[Span]:
    """Yield dates of any meaning."""
    for match in _ANY.finditer(text):
        yield Span("DATE", *match.span(), 0.5, "date")
