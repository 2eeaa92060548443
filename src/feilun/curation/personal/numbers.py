"""Numbers that name people: identity papers, phones, cards, accounts, codes of organisations.

This module knows their shapes, in which ways people space them, and how sure a shape alone makes one. It does not know
what cues say (``cues``) or how check sums work (``checks``), names or addresses.

Every rule looks at short stretches of text around a row of digits only, so the work grows with the text's length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from feilun.curation.personal import checks
from feilun.curation.personal.cues import AMOUNT, MONEY, NO_MEASURE, spoken, sureness
from feilun.curation.personal.signs import At
from feilun.curation.personal.spans import Span

# Six digits or more with at most two separators between them; plain dates do not count.
_CHUNK = re.compile(
    r"[0-9](?<![0-9][0-9])(?![0-9]{3}[-/.][0-9]{1,2}[-/.][0-9]{1,2}(?![0-9\-.]))(?:[ \-.·()/_]{0,2}[0-9]){5,}"
)
_BEFORE, _AFTER = 10, 40
_FREE, _END = r"(?<![0-9])(?<![0-9][.\-])", r"(?![0-9])(?![.\-][0-9])"
# One digit behind an x is how many of something.
_EXTENSION = r"(?:[ ]?(?:(?:转|ext\.?|#)[ ]?[0-9]|x[ ]?[0-9]{2})[0-9]{0,5}(?![0-9]))?"
_NO_MACHINE = r"(?![0-9]{2,3}(?:\.[0-9]{1,3}){3}(?![0-9.]))"  # four groups with dots may be a machine's address


@dataclass(frozen=True, slots=True)
class Rule:
    """How a kind of number looks.

    ``valid`` judges the match without separators. ``bare``, ``cued``, ``miscued``: how sure it is with no cue, with one
    that speaks for the kind, with one that speaks for another. ``needs``: how many digits a row must have to hold one,
    with ``letters`` if a letter must stand before or behind it, ``plus`` if a plus sign must.
    """

    kind: str
    name: str
    pattern: re.Pattern[str]
    bare: float
    cued: float
    miscued: float
    valid: Callable[[str], bool] = bool
    needs: int = 6
    beside: str = ""


_NEEDS = {
    "resident_id": (17, ""),
    "old_resident_id": (15, ""),
    "credit_code": (6, "letters"),
    "iban": (6, "letters"),
    "small_iban": (6, "letters"),
    "ssn": (9, ""),
    "ssn_plain": (9, ""),
    "hong_kong_id": (6, "letters"),
    "open_hong_kong_id": (6, "letters"),
    "taiwan_id": (9, "letters"),
    "chinese_passport": (7, "letters"),
    "travel_permit": (7, "letters"),
    "taiwan_permit": (8, ""),
    "chinese_mobile": (11, ""),
    "spaced_mobile": (11, ""),
    "grouped_mobile": (11, ""),
    "chinese_landline": (7, ""),
    "plain_landline": (10, ""),
    "short_landline": (10, ""),
    "service_line": (9, ""),
    "international": (7, "plus"),
    "dialled_00": (9, ""),
    "american": (10, ""),
    "taiwan_mobile": (10, ""),
    "british_mobile": (11, ""),
    "local_american": (7, ""),
    "groups": (6, ""),
    "digits": (7, ""),
}


def _rule(
    kind: str, name: str, pattern: str, sure: tuple[float, float, float], valid: Callable[[str], bool] = bool
) -> Rule:
    return Rule(kind, name, re.compile(pattern, re.ASCII), *sure, valid, *_NEEDS.get(name, (6, "")))


def _count(low: int, high: int) -> Callable[[str], bool]:
    return lambda code: low <= sum(char.isdigit() for char in code) <= high


def _no_day(low: int, high: int) -> Callable[[str], bool]:
    count = _count(low, high)
    return lambda code: count(code) and not (len(code) == 8 and code[:2] in {"19", "20"} and checks.day(code))


_S, _B = r"[ \-]?", r"(?:[ \-]|\r?\n)?"
_RULES = (
    _rule(
        "RESIDENT_ID",
        "resident_id",
        rf"(?<![0-9])[1-9](?:{_S}[0-9]){{5}}{_S}(?:1{_S}9|2{_S}0)(?:{_S}[0-9]){{9}}{_S}[0-9Xx](?![0-9A-Za-z])",
        (0.95, 0.99, 0.75),
        checks.resident,
    ),
    _rule(
        "RESIDENT_ID",
        "old_resident_id",
        r"(?<![0-9A-Za-z])[1-8][0-9]{14}(?![0-9A-Za-z])",
        (0.3, 0.85, 0.1),
        checks.old_resident,
    ),
    _rule(
        "CREDIT_CODE",
        "credit_code",
        rf"(?<![0-9A-Za-z])[0-9ANYany][0-9A-HJ-NPQRTUWXYa-hj-npqrtuwxy](?:{_S}[0-9]){{6}}(?:{_S}[0-9A-HJ-NPQRTU"
        rf"WXYa-hj-npqrtuwxy]){{10}}"
        r"(?![0-9A-Za-z])",
        (0.85, 0.97, 0.6),
        lambda code: not code.isdigit() and checks.credit(code),
    ),
    _rule(
        "CREDIT_CODE",
        "digit_credit_code",
        rf"(?<![0-9A-Za-z])[1-9](?:{_S}[0-9]){{17}}(?![0-9A-Za-z])",
        (0.55, 0.9, 0.1),
        lambda code: checks.registered(code) and checks.credit(code),
    ),
    _rule(
        "IBAN",
        "iban",
        r"(?<![0-9A-Za-z])[A-Z]{2}[0-9]{2}(?:[ \-]?[A-Z0-9]{4}){2,7}(?:[ \-]?[A-Z0-9]{1,3})?(?![0-9A-Za-z])",
        (0.95, 0.98, 0.9),
        checks.iban,
    ),
    _rule(
        "IBAN",
        "small_iban",
        r"(?<![0-9A-Za-z])[A-Za-z]{2}[0-9]{2}(?:[ \-]?[a-z]{4})?(?:[ \-]?[0-9]{4}){2,6}(?:[ \-]?[0-9]{1,3})?"
        r"(?![0-9A-Za-z])",
        (0.9, 0.97, 0.85),
        lambda code: checks.iban(code.upper()),
    ),
    _rule(
        "SSN",
        "ssn",
        r"(?<![0-9A-Za-z.\-])[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} )[0-9]{4}(?![0-9A-Za-z\-])(?!\.[0-9])",
        (0.7, 0.95, 0.4),
        checks.social,
    ),
    _rule("SSN", "ssn_plain", r"(?<![0-9A-Za-z.\-])[0-9]{9}(?![0-9A-Za-z\-])", (0, 0.85, 0), checks.social),
    _rule(
        "REGION_ID",
        "hong_kong_id",
        r"(?<![0-9A-Za-z])[A-Z]{1,2}[0-9]{6} ?[(（] ?[0-9A] ?[)）]",
        (0.65, 0.95, 0.4),
        checks.hong_kong,
    ),
    _rule(
        "REGION_ID",
        "open_hong_kong_id",
        r"(?<![0-9A-Za-z])[A-Z]{1,2}[0-9]{6}[0-9A](?![0-9A-Za-z])",
        (0.3, 0.9, 0.1),
        checks.hong_kong,
    ),
    _rule(
        "REGION_ID", "taiwan_id", r"(?<![0-9A-Za-z])[A-Z][1289][0-9]{8}(?![0-9A-Za-z])", (0.45, 0.9, 0.2), checks.taiwan
    ),
    _rule(
        "PASSPORT",
        "chinese_passport",
        r"(?<![0-9A-Za-z])(?:[EeGgDdSsPpHhKk][0-9]{8}|[Ee][A-HJ-NP-Za-hj-np-z][0-9]{7})(?![0-9A-Za-z])",
        (0.45, 0.95, 0.2),
    ),
    _rule("PASSPORT", "passport", r"(?<![0-9A-Za-z])[A-Za-z]{0,3}[0-9]{6,9}[A-Za-z]?(?![0-9A-Za-z(（])", (0, 0.85, 0)),
    _rule(
        "PERMIT",
        "travel_permit",
        r"(?<![0-9A-Za-z])(?:[CWLTHM][0-9]{8}(?:[0-9]{2})?|C[A-HJ-NP-Z][0-9]{7})(?![0-9A-Za-z])",
        (0.3, 0.92, 0.1),
    ),
    _rule("PERMIT", "taiwan_permit", r"(?<![0-9A-Za-z])[0-9]{8}(?:[0-9]{2})?(?![0-9A-Za-z])", (0, 0.8, 0)),
    _rule(
        "LICENCE",
        "licence",
        r"(?<![0-9A-Za-z])[A-Za-z]{0,3}[0-9](?:[ \-]?[0-9A-Za-z]){4,14}(?![0-9A-Za-z])",
        (0, 0.8, 0),
        _count(5, 15),
    ),
    _rule(
        "PHONE",
        "chinese_mobile",
        rf"{_FREE}{MONEY}(?:[(（]?(?:\+|00)?86[)）]?[ \-]?)?1[3-9][0-9](?P<s>[ \-.]?)[0-9]{{4}}(?P=s)[0-9]{{4}}"
        rf"{_EXTENSION}(?![0-9])(?!\.[0-9]){AMOUNT}",
        (0.8, 0.95, 0.3),
    ),
    _rule(
        "PHONE",
        "spaced_mobile",
        rf"{_FREE}(?:(?:\+|00)?86[ \-]?)?1(?P<s>[ \-.·_/、,，])[3-9](?:(?P=s)[0-9]){{9}}(?![0-9])",
        (0.7, 0.9, 0.2),
    ),
    _rule(
        "PHONE",
        "grouped_mobile",
        rf"{_FREE}{MONEY}{_NO_MACHINE}(?:(?:\+|00)?86[ \-]?)?1[ \-.·_/]?[3-9](?:[ \-.·_/]?[0-9]){{9}}(?![0-9])"
        rf"(?!\.[0-9]){AMOUNT}",
        (0.55, 0.88, 0.15),
    ),
    _rule(
        "PHONE",
        "chinese_landline",
        rf"{_FREE}(?:(?:\+|00)86[ \-]?)?(?:[(（]0[1-9][0-9]{{1,2}}[)）][ \-]?|0(?:10|2[0-9]|[3-9][0-9]{{2}})[ \-])"
        rf"[2-9][0-9]{{2,3}}[ \-]?[0-9]{{4}}(?:{_EXTENSION}|-[0-9]{{1,4}})(?![0-9]|-[0-9])(?!\.[0-9])",
        (0.8, 0.95, 0.3),
    ),
    _rule(
        "PHONE",
        "plain_landline",
        rf"{_FREE}0(?:10|2[0-9]|[3-9][0-9]{{2}})[2-9][0-9]{{6,7}}{_EXTENSION}{_END}",
        (0.45, 0.9, 0.15),
    ),
    _rule(
        "PHONE",
        "short_landline",
        rf"{_FREE}0[0-9]{{2,3}}[ \-][0-9]{{7,8}}(?![0-9]|-[0-9])(?!\.[0-9])",
        (0.55, 0.9, 0.2),
    ),
    _rule(
        "PHONE",
        "service_line",
        rf"{_FREE}[48]00-?[0-9]{{3,4}}-?[0-9]{{3,4}}(?![0-9]|-[0-9])(?!\.[0-9])",
        (0.52, 0.9, 0.2),
        _count(10, 10),
    ),
    _rule(
        "PHONE",
        "international",
        rf"(?<![0-9A-Za-z+])\+[1-9](?:[ .\-()]{{0,2}}[0-9]){{6,14}}{_EXTENSION}(?![0-9])",
        (0.75, 0.95, 0.5),
    ),
    _rule(
        "PHONE",
        "dialled_00",
        rf"{_FREE}00[1-9][0-9]{{0,2}}[ .\-(](?:[ .\-()]{{0,2}}[0-9]){{6,12}}{_EXTENSION}(?![0-9])",
        (0.6, 0.9, 0.2),
    ),
    _rule(
        "PHONE",
        "american",
        rf"(?<![0-9.\-])(?:(?:\+?1[ .\-])?\([0-9]{{3}}\) ?[0-9]{{3}}[ .\-][0-9]{{4}}"
        rf"|(?:1[ .\-])?[0-9]{{3}}[ .\-][0-9]{{3}}[ .\-][0-9]{{4}})"
        rf"{_EXTENSION}(?![0-9]|-[0-9])(?!\.[0-9])",
        (0.65, 0.95, 0.25),
    ),
    _rule("PHONE", "taiwan_mobile", rf"{_FREE}09[0-9]{{2}}[ \-]?[0-9]{{3}}[ \-]?[0-9]{{3}}{_END}", (0.5, 0.9, 0.15)),
    _rule("PHONE", "british_mobile", rf"{_FREE}07[0-9]{{3}} ?[0-9]{{3}} ?[0-9]{{3}}{_END}", (0.5, 0.9, 0.15)),
    _rule(
        "PHONE", "local_american", r"(?<![0-9.\-A-Za-z])[0-9]{3}-[0-9]{4}(?![0-9]|-[0-9])(?!\.[0-9])", (0.45, 0.8, 0.1)
    ),
    _rule(
        "PHONE",
        "groups",
        rf"(?<![0-9A-Za-z])(?<![0-9][.\-/])(?<![0-9]{{4}} )\(?[0-9]{{1,5}}\)?(?:[ .\-]\(?[0-9]{{2,6}}\)?){{1,5}}"
        rf"{_EXTENSION}(?![0-9A-Za-z])(?![.\-/][0-9]){NO_MEASURE}",
        (0.2, 0.7, 0),
        lambda code: 7 <= len(code) <= 20 and not checks.card(code),
    ),
    _rule(
        "PHONE",
        "digits",
        rf"(?<![0-9A-Za-z.\-])[0-9]{{7,12}}{_EXTENSION}(?![0-9A-Za-z\-])(?!\.[0-9]){NO_MEASURE}",
        (0, 0.6, 0),
        _no_day(7, 18),
    ),
)
# Numbers with line breaks: a column of numbers looks the same unless a check sum holds or a label stands before.
_BROKEN = (
    _rule(
        "RESIDENT_ID",
        "broken_resident_id",
        rf"[1-9](?:{_B}[0-9]){{5}}{_B}(?:1{_B}9|2{_B}0)(?:{_B}[0-9]){{9}}{_B}[0-9Xx](?![0-9A-Za-z])",
        (0.92, 0.98, 0.75),
        checks.resident,
    ),
    _rule("PHONE", "broken_mobile", rf"1{_B}[3-9](?:{_B}[0-9]){{9}}(?![0-9])", (0, 0.88, 0)),
    _rule(
        "CARD",
        "broken_card",
        rf"(?<![0-9][ \-\n])[3-9](?:{_S}[0-9]){{2,11}}\r?\n[0-9](?:{_B}[0-9]){{2,15}}(?![0-9])",
        (0, 0.9, 0),
        checks.card,
    ),
)
_TABLE, _GROUPS, _EVERY = 160, re.compile("[0-9]+"), frozenset({"*"})
_CARD = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9](?:[ \-]?[0-9]){11,40}(?![0-9])", re.ASCII)
_SEPARATORS = re.compile(r"[^0-9A-Za-z]")
_CARD_SURE = {True: (0.7, 0.96, 0.38), False: (0.4, 0.85, 0.15)}
_NO_DATE = re.compile(r"(?:19|20)[0-9]{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:[0-2]?[0-9]|3[01])(?![0-9])")


def _cards(text: str, low: int, high: int) -> Iterator[Span]:
    for match in _CARD.finditer(text, low, high):
        start, limit = match.span()
        # Other digits may stand in the same row: a card ends where a group ends, and so does what begins after it.
        edges = [start, *[start + found.end() for found in re.finditer("[ -]", match[0])], limit + 1]
        for place in range(len(edges) - 1):
            until = _card_at(text, edges, place)
            if until:
                first, last = edges[place], edges[until] - 1
                sure = _CARD_SURE[checks.issuer(_SEPARATORS.sub("", text[first:last]))]
                yield Span("CARD", first, last, sureness(text, "CARD", first, last, sure), "card")


def _card_at(text: str, edges: list[int], place: int) -> int:
    best = 0
    for until in range(place + 1, min(len(edges), place + 20)):
        groups = [edges[n + 1] - edges[n] - 1 for n in range(place, until)]
        digits = _SEPARATORS.sub("", text[edges[place] : edges[until] - 1])
        if len(digits) > 19:
            break
        # People group cards by three digits or more, or space every digit; rows of figures have groups of any size.
        even = all(group > 2 for group in groups[:-1]) or (len(digits) > 15 and set(groups) == {1})
        if even and len(digits) >= 13 and checks.luhn(digits) and (not best or checks.issuer(digits)):
            best = until
    return best


def numbers(text: str, at: At) -> Iterator[Span]:
    """Yield what in ``text`` (folded) may be a number that names a person or an organisation."""
    done = 0
    for place in at.rows:
        if text.find("\n", place, place + 16) > 0:
            yield from _broken(text, place)
        chunk = _CHUNK.match(text, place) if place >= done else None
        if chunk is None:
            continue
        start, end = chunk.span()
        done = end
        if end - start > _TABLE and len(_GROUPS.findall(chunk[0])) * 4 > end - start:
            continue  # columns of small figures
        low, high = max(0, start - _BEFORE), end + _AFTER
        digits = sum(map(str.isdigit, chunk[0])) if end - start < 64 else 64
        beside = text[max(0, start - 4) : start] + text[end : end + 2]
        letters = digits >= 18 or any(char.isascii() and char.isalpha() for char in beside)
        cued: frozenset[str] | None = None
        if digits >= 13:
            yield from _cards(text, start, end)
        for rule in _RULES:
            if (
                digits < rule.needs
                or (rule.beside == "letters" and not letters)
                or (rule.beside == "plus" and "+" not in beside)
            ):
                continue
            if rule.bare < 0.3:
                if cued is None:
                    cued = spoken(text, start, end)[0] if end - start < 24 else _EVERY
                if cued is not _EVERY and rule.kind not in cued:
                    continue
            yield from _matches(rule, text, low, high, end)


def _matches(rule: Rule, text: str, low: int, high: int, limit: int) -> Iterator[Span]:
    place = low
    while match := rule.pattern.search(text, place, high):
        if match.start() >= limit:
            return
        end = _end(rule, text, *match.span())
        if end:
            confidence = sureness(text, rule.kind, match.start(), end, (rule.bare, rule.cued, rule.miscued))
            if confidence > 0 and not _NO_DATE.match(match[0]):
                yield Span(rule.kind, match.start(), end, confidence, rule.name)
            place = end
        else:
            place = match.start() + 1


def _end(rule: Rule, text: str, start: int, end: int) -> int:
    """Return where a valid number ends, 0 if there is none: the last groups of an IBAN or card may be other numbers."""
    while not rule.valid(_SEPARATORS.sub("", text[start:end])):
        end = max(text.rfind(mark, start, end) for mark in " -\n")
        if end <= start or rule.kind not in {"IBAN", "CARD"}:
            return 0
    return end


def _broken(text: str, place: int) -> Iterator[Span]:
    below = text[max(0, place - 2) : place - 1].isdigit() and text[place - 1] == "\n"  # another number, so no label
    for rule in _BROKEN[:1] if below else _BROKEN:
        match = rule.pattern.match(text, place)
        end = _end(rule, text, *match.span()) if match else 0
        if "\n" in text[place:end]:
            sure = sureness(text, rule.kind, place, end, (rule.bare, rule.cued, rule.miscued))
            if sure > 0:
                yield Span(rule.kind, place, end, sure, rule.name)
