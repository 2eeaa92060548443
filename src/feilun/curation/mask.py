"""Personal data -> typed placeholders such as ``[PHONE]``; the organisation's own public facts survive.

This module knows the forms of personal data (English and Chinese) and their check sums. It does not know pairs or
files. Recognised: e-mail addresses, payment cards (Luhn), IBANs (mod 97), Chinese resident ids (check character), US
social security numbers, phone numbers, dates of birth, and names where the text itself says that they are names. Not
recognised: postal addresses, names without such a sign, faces, voices.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_WORD = r"[A-ZÀ-Þ][\w'’-]+"
_NAME = rf"{_WORD}(?:\s+(?:(?:de|da|van|von|der|bin|al|el|la|le|O')\s+)?{_WORD}){{0,3}}"
_HAN_NAME = "[\u4e00-\u9fa5]{2,3}(?:·[\u4e00-\u9fa5]{1,6})?"
# Words that follow "I am" or "this is" with a capital letter and are no names.
_NO_NAMES = re.compile(
    r"(?i)the|an?|my|your|our|not|very|so|just|also|still|here|there|from|at|in|on|i|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|january|february|march|april|may|june|july|august|september|october|november|december"
    r"|english|chinese|american|british|german|french|spanish"
)
_NAME_SIGNS = (
    re.compile(
        rf"(?:[Mm]y (?:full )?name is|[Mm]y name's|[Ii]n the name of|[Cc]all me|[Nn]ame[:：])\s+(?P<name>{_NAME})"
    ),
    re.compile(rf"(?:I am|I'm|I’m|[Tt]his is|[Ss]peaking with)\s+(?P<name>{_WORD}\s+{_WORD}(?:\s+{_WORD})?)"),
    re.compile(rf"(?:[Rr]egards|[Ss]incerely|[Tt]hanks|[Cc]heers),?\s+(?P<name>{_WORD}\s+{_WORD})"),
    re.compile(rf"(?:Mr|Mrs|Ms|Miss|Dr)\.?\s+(?P<name>{_WORD}(?:\s+{_WORD})?)"),
    re.compile(rf"(?:我叫|我的名字是|我的名字叫|姓名[:：]?\s*|我的姓名是|户名是?[:：]?\s*)(?P<name>{_HAN_NAME})"),
)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _luhn(text: str) -> bool:
    digits = [int(char) for char in reversed(_digits(text))]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[::2]) + doubled) % 10 == 0


def _iban(text: str) -> bool:
    plain = re.sub(r"\s", "", text).upper()
    turned = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def _resident(text: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(weight * int(char) for weight, char in zip(weights, text[:17], strict=True))
    return "10X98765432"[total % 11] == text[17].upper()


def _social(text: str) -> bool:
    area, group, serial = text.split("-")
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def _phone(text: str) -> bool:
    return 7 <= len(_digits(text)) <= 15


def _any(text: str) -> bool:
    return bool(text)


_NUMBER_START, _NUMBER_END = r"(?<![\w.\-])", r"(?![\w\-]|\.\d)"
_KINDS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    (
        "EMAIL",
        re.compile(r"[A-Za-z0-9_%+-][\w.%+-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5}", re.ASCII),
        _any,
    ),
    ("IBAN", re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)", re.ASCII), _iban),
    ("ID", re.compile(r"(?<!\d)[1-9]\d{5}(?:18|19|20)\d{9}[\dXx](?![\dA-Za-z])", re.ASCII), _resident),
    ("CARD", re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?!\d)", re.ASCII), _luhn),
    ("ID", re.compile(_NUMBER_START + r"\d{3}-\d{2}-\d{4}" + _NUMBER_END, re.ASCII), _social),
    (
        "PHONE",
        re.compile(
            r"(?<![\d.\-])(?:(?:\+|00)[1-9]\d{0,2}[ .-]?(?:\(?\d{1,4}\)?[ .-]?){2,5}\d{2,4}"
            r"|(?:\+?1[ .-])?\(\d{3}\) ?\d{3}[ .-]\d{4}|(?:1[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}"
            r"|(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}|[48]00-?\d{3,4}-?\d{3,4}|0\d{2,3}[- ]\d{7,8}|\d{3}-\d{4})"
            r"(?![\d\-]|\.\d)",
            re.ASCII,
        ),
        _phone,
    ),
    (
        "BIRTHDAY",
        re.compile(
            r"(?i)(?<=born on )[\w ,./-]{6,20}?\d{4}|(?<=born )\d[\w ,./-]{4,18}?\d{4}"
            r"|(?<=date of birth is )[\w ,./-]{6,20}?\d{4}"
            r"|(?<=出生日期是)[\d年月日/.\-]{6,11}|(?<=生日是)[\d年月日/.\-]{6,11}"
        ),
        _any,
    ),
)


@dataclass(slots=True)
class Public:
    """What the organisation itself publishes: personal-looking data that occurs there is a fact, not a secret."""

    text: str = ""
    values: set[str] = field(default_factory=set)
    known: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Public:
        """Collect the addresses, numbers and words of the public texts."""
        whole = "\n".join(texts)
        found = {_key(kind, m[0]) for kind, pattern, _ in _KINDS for m in pattern.finditer(whole)}
        return cls(whole.casefold(), found)

    def has(self, kind: str, value: str) -> bool:
        """Tell whether ``value`` is public."""
        if kind != "NAME":
            return _key(kind, value) in self.values
        name = value.casefold()
        if name not in self.known:
            self.known[name] = name in self.text
        return self.known[name]


def _key(kind: str, value: str) -> str:
    return value.casefold() if kind == "EMAIL" else re.sub(r"[\W_]", "", value).casefold()


def names_in(text: str) -> set[str]:
    """Return the names that ``text`` itself gives as names ("my name is …", "我叫…")."""
    names: set[str] = set()
    for sign in _NAME_SIGNS:
        for match in sign.finditer(text):
            words = match["name"].split()
            while words and _NO_NAMES.fullmatch(words[-1]):
                words.pop()
            if words and not _NO_NAMES.fullmatch(words[0]):
                names.add(" ".join(words))
    return names


def mask(text: str, public: Public, names: Iterable[str] = (), counts: Counter[str] | None = None) -> str:
    """Return ``text`` with personal data replaced by placeholders; ``counts`` learns how many of each kind.

    ``names`` are people known from elsewhere (speaker labels, name columns); names that the text gives are added.
    """
    tally: Counter[str] = Counter() if counts is None else counts
    for kind, pattern, valid in _KINDS:

        def put(match: re.Match[str], kind: str = kind, valid: Callable[[str], bool] = valid) -> str:
            if not valid(match[0]) or public.has(kind, match[0]):
                return match[0]
            tally[kind] += 1
            return f"[{kind}]"

        text = pattern.sub(put, text)
    people = {name for name in {*names, *names_in(text)} if len(name) > 1 and not public.has("NAME", name)}
    for name in sorted(people, key=lambda n: (-len(n), n)):
        bounds = (r"(?<!\w)", r"(?!\w)") if name.isascii() else ("", "")
        text, number = re.subn(bounds[0] + re.escape(name) + bounds[1], "[NAME]", text)
        tally["NAME"] += number
    return text
