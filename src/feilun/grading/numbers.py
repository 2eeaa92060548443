"""The grader of numbers: whatever way they are written, in English and in Chinese.

This module knows thousands, decimals, fractions, powers of ten, percent, magnitudes (``million``, ``亿``), Chinese
numerals and units that are only a factor. It does not know formulas: those are for ``math``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import msgspec

from feilun.grading.seam import Case, Grade, right_or_wrong
from feilun.grading.strings import OUTPUT, References

_DIGITS = {**{c: i for i, c in enumerate("零一二三四五六七八九")}, "〇": 0, "○": 0, "两": 2, "兩": 2, "幺": 1}
_DIGITS |= {
    **{c: i for i, c in enumerate("壹贰叁肆伍陆柒捌玖", 1)},
    **{c: i for i, c in enumerate("壹貳參肆伍陸柒捌玖", 1)},
}
_TENS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_GREAT = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8, "兆": 10**12}
_HAN = "".join([*_DIGITS, *_TENS, *_GREAT])
_WORDS = {
    "hundred": 2, "thousand": 3, "k": 3, "million": 6, "mn": 6, "m": 6, "billion": 9, "bn": 9, "b": 9, "trillion": 12,
    "tn": 12,
}  # fmt: skip
_POWERS = {"十": 1, "百": 2, "千": 3, "万": 4, "萬": 4, "亿": 8, "億": 8, "万亿": 12, "萬億": 12, "兆": 12}
_NUMBER = re.compile(
    rf"""
    (?P<of>百分之|千分之|万分之)?\s*
    (?P<sign>(?<![\w.)）])[-+]|负|負|minus\s)?\s*[$¥€£]?\s*
    (?:
      (?P<plain>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d{{1,3}}(?:\ \d{{3}})+(?![\d.])|\d+(?:\.\d+)?|\.\d+)
      (?:\s*(?:e|[x×*]\s*10\s*(?:\^|\*\*))\s*\{{?(?P<power>[-+]?\d+)\}}?)?
      (?:\s*/\s*(?P<under>\d+(?:\.\d+)?)(?![\d/]))?
      (?:\s?(?P<great>万亿|萬億|[十百千万萬亿億兆]|(?:hundred|thousand|million|billion|trillion|bn|mn|tn|[kmb])\b))?
      |(?P<han>[{_HAN}]+(?:[点點][{"".join(_DIGITS)}]+)?)
    )
    (?P<half>半)?
    \s*(?P<share>%|‰|per\s?cent\b|pct\b|percentage\ points?\b|个百分点|個百分點)?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BOXED = re.compile(r"\\boxed\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_ANNOUNCED = re.compile(
    r"(?:####|(?:final\s+)?answer\s*(?:is|:|=)|the\s+result\s+is|答案\s*(?:是|为|為|：|:)|结果\s*(?:是|为|：|:)|等于)\s*",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written: its value, and whether it was a share (percent, per mille)."""

    value: Decimal
    share: bool = False


def numbers(text: str) -> list[Number]:
    """Return every number of ``text`` in order, wherever a sentence has it."""
    plain = unicodedata.normalize("NFKC", text).replace("\u2212", "-").replace("\\%", "%").replace("\\$", "$")
    plain = _FRACTION.sub(r" \1/\2 ", plain.replace("{,}", ","))
    return list(_found(plain))


def _found(text: str) -> Iterator[Number]:
    for match in _NUMBER.finditer(text):
        try:
            value = _han(match["han"]) if match["han"] else _plain(match)
        except (InvalidOperation, ValueError, OverflowError):
            continue
        if match["half"]:
            value += Decimal("0.5") * Decimal(10) ** _power(match["great"])
        if match["sign"] and match["sign"].strip() != "+":
            value = -value
        under = {"百分之": 2, "千分之": 3, "万分之": 4}.get(match["of"] or "", 0)
        share = (match["share"] or "").lower()
        under += 3 if share == "‰" else 2 if share else 0
        yield Number(value.scaleb(-under), under > 0)


def _plain(match: re.Match[str]) -> Decimal:
    value = Decimal(match["plain"].replace(",", "").replace(" ", ""))
    if match["under"]:
        value /= Decimal(match["under"])
    power = int(match["power"] or 0)
    if abs(power) > 400:
        raise ValueError(power)
    return value * Decimal(10) ** (power + _power(match["great"]))


def _power(great: str | None) -> int:
    if not great:
        return 0
    return _POWERS.get(great) or _WORDS.get(great.lower(), 0)


def _han(text: str) -> Decimal:
    """Return the value of a Chinese numeral: 三千二百零五万, 二〇二四, 十二点五; raise ValueError for none."""
    whole, _, after = text.replace("點", "点").partition("点")
    if not whole:
        raise ValueError(text)
    places = "".join(str(_DIGITS[c]) for c in after)
    if all(c in _DIGITS for c in whole):
        return Decimal("".join(str(_DIGITS[c]) for c in whole) + (f".{places}" if places else ""))
    total = section = digit = 0
    last = 1
    for c in whole:
        if c in _DIGITS:
            digit = _DIGITS[c]
            last = 1 if digit == 0 else last
        elif c in _TENS:
            last = _TENS[c]
            section += (digit or 1) * last
            digit = 0
        else:
            last = _GREAT[c]
            # 三万亿: a greater unit multiplies all that stands before it.
            total = (
                (total + section + digit) * last if total and last >= 10**8 else total + (section + digit or 1) * last
            )
            section = digit = 0
    # 三千五 is 3500, 一万二 is 12000: a last digit without a unit counts the next lower one.
    if digit and last >= 100 and len(whole) > 1 and whole[-2] not in "零〇○":
        digit *= last // 10
    return Decimal(total + section + digit) + (Decimal(f"0.{places}") if places else 0)


def final_numbers(text: str) -> list[Number]:
    """Return the numbers that an answer ends up with: in the box, after "the answer is", or else its last."""
    if boxed := _BOXED.findall(text):
        return numbers(boxed[-1])[-1:]
    announced = list(_ANNOUNCED.finditer(text))
    if announced and (said := numbers(text[announced[-1].end() :])):
        return said[:1]
    return numbers(text)[-1:]


class Numeric(msgspec.Struct, tag="numeric", forbid_unknown_fields=True):
    """The answer's number equals a reference, within ``tolerance`` (absolute) or ``relative``.

    By default the number must be the one that the answer ends up with; ``anywhere`` takes any that it holds. A share
    equals the bare number before its sign (``5 %`` and ``5``) unless ``percent`` is ``strict``.
    """

    reference: References
    tolerance: float = 0.0
    relative: float = 1e-6
    anywhere: bool = False
    percent: str = "lenient"
    input: str = OUTPUT
    name: str = ""

    def __post_init__(self) -> None:
        if self.percent not in {"lenient", "strict"}:
            raise ValueError("percent must be lenient or strict")
        if not (0 <= self.tolerance < float("inf") and 0 <= self.relative < 1):
            raise ValueError("tolerance must be 0 or more, relative between 0 and 1")

    async def grade(self, case: Case) -> Grade:
        """Find the number and compare."""
        wanted = [found[-1] for text in case.fill_all(self.reference) if (found := numbers(text))]
        if not wanted:
            return Grade(0.0, False, error="The reference holds no number.")
        said = case.fill(self.input)
        given = numbers(said) if self.anywhere else final_numbers(said)
        if not given:
            return Grade(0.0, False, "The answer holds no number.")
        right = any(self._same(one, other) for one in given for other in wanted)
        return right_or_wrong(right, f"The answer's number is {given[-1].value.normalize():f}.")

    def _same(self, given: Number, wanted: Number) -> bool:
        pairs = [(given.value, wanted.value)]
        if self.percent == "lenient" and given.share != wanted.share:
            pairs.append((given.value.scaleb(2 * given.share), wanted.value.scaleb(2 * wanted.share)))
        slack = Decimal(repr(self.tolerance))
        return any(abs(a - b) <= max(slack, Decimal(repr(self.relative)) * abs(b)) for a, b in pairs)
