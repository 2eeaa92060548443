"""Dates that say when a person was born, details of bank cards, numbers that are named just before; other dates.

This module knows how dates are written in Chinese and English, and the words beside these and other numbers. It does
not know calendars other than the Gregorian, nor numbers that are known by their shape (``numbers``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from feilun.curation.personal import checks
from feilun.curation.personal.cues import AMOUNT
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
_ACCOUNT_WORDS = ("账号", "帐号", "賬號", "帳號", "账户", "帐户", "账戶", "account", "acct", "a/c")
_BRANCH_WORDS = ("routing", "sort code", "sort-code", "aba ")
_ID_WORDS = (
    "身份证",
    "身分證",
    "身份證",
    "公民身份号",
    "id card",
    "id number",
    "identity card",
    "resident id",
    "national id",
)
WORDS = (*_BORN_WORDS, *_THEN_WORDS, *_DETAIL_WORDS, *_CODE_WORDS, *_ACCOUNT_WORDS, *_BRANCH_WORDS, *_ID_WORDS)
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
# What may stand between the word and the number that it names.
_LINK = (
    r"(?i:\s?(?:号码|號碼|字號|号|號|编号|no\b\.?|nr\b\.?|numbers?\b|num\b\.?|#|code\b|transit\b){0,2})"
    r"\s{0,2}(?i:是|为|為|is\b|was\b)?\s{0,2}[:：=#(（]?\s{0,3}"
)
_GIVEN = rf"(?P<n>[0-9](?:[ \-]?[0-9]){{5,29}})(?![0-9A-Za-z])(?![.\-][0-9]|:[0-9A-Fa-f]){AMOUNT}(?!\s?个(?!人))"
_STATED = re.compile(_LINK + _GIVEN, re.ASCII)
_ANOTHER = re.compile(r"(?:\s?(?:[,，、;；/&]|\band\b|\bor\b|[和及或与])\s?){1,2}" + _GIVEN)
_STATED_ID = re.compile(
    rf"{_LINK}(?P<n>[1-9](?:[ \-]?[0-9lOo]){{13,16}}[ \-]?[0-9XxlOo])(?![0-9A-Za-z])(?!\.[0-9])", re.ASCII
)
_DAY = re.compile(r"(?:19|20)[0-9]{2}-[0-9]{1,2}-[0-9]{1,2}|(?:19|20)[0-9]{2} ?- ?(?:19|20)[0-9]{2}")
# A number of which the text itself says that it is none.
_DENIED = re.compile(
    r"[^。；;!！?？\n\0]{0,24}?(?:有误|不对|错误|不符|无效|不正确|不存在|未通过|不通过|非法"
    r"|(?i:\binvalid\b|\bwrong\b|\bincorrect\b|\bnot valid\b))"
)
_FEWEST = {"ACCOUNT": 7, "BANK_CODE": 6}  # digits
_MOBILE = re.compile(r"(?:86)?1[3-9][0-9]{9}")
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


def stated_numbers(text: str, at: At) -> Iterator[Span]:
    """Yield accounts, and resident IDs of whatever digits, that a word just before the number says to be such."""
    for words, kind in ((_ACCOUNT_WORDS, "ACCOUNT"), (_BRANCH_WORDS, "BANK_CODE")):
        for word in words:
            for place in at.words.get(word, ()):
                match = _STATED.match(text, place + len(word))
                while match and (span := _account(match, kind)):
                    yield span
                    match = _ANOTHER.match(text, match.end())
    for word in _ID_WORDS:
        for place in at.words.get(word, ()):
            match = _STATED_ID.match(text, place + len(word))
            if match and not _DENIED.match(text, match.end()):
                yield Span("RESIDENT_ID", *match.span("n"), 0.8, "stated_id")


def _account(match: re.Match[str], kind: str) -> Span | None:
    """Return the account that a word is followed by; None for a phone, a person's ID, a day and what is too short."""
    written = match["n"]
    digits = re.sub("[^0-9]", "", written)
    day = _DAY.fullmatch(written) or (len(digits) == 8 and digits[:2] in {"19", "20"} and checks.day(digits))
    person = _MOBILE.fullmatch(digits) or (len(digits) == 18 and checks.resident(digits))
    if len(digits) < _FEWEST[kind] or day or person:
        return None
    card = kind == "ACCOUNT" and len(digits) > 12 and checks.card(digits)
    return Span("CARD" if card else kind, *match.span("n"), 0.97 if len(digits) > 12 else 0.75, "stated_account")


def dates(text: str, _: At) -> Iterator[Span]:
    """Yield dates of any meaning."""
    for match in _ANY.finditer(text):
        yield Span("DATE", *match.span(), 0.5, "date")
