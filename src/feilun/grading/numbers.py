"""The grader of numbers: whatever way they are written, in English and in Chinese.

This module knows thousands, decimals, fractions, powers, percent, magnitudes (``million``, ``亿``), Chinese
numerals and units that are only a factor. It does not know formulas: those are for ``math``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

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
_LONG_NUMERAL = rf"[{_HAN}]+(?:[点點][{''.join(_DIGITS)}]+)?"
_NUMBER = re.compile(
    rf"""
    (?P<of>百分之|千分之|万分之)?\s*
    (?P<sign>(?<![\w.)）])(?<![\d)]\s)[-+]|负|負|minus\s)?\s*(?P<money>[$¥€£])?\s*
    (?:
      (?<![A-Za-z_^])(?<![\d:])(?<!\d\.)
      (?:
        (?P<clock>\d{{1,2}}(?::\d{{2}}){{1,2}})(?![\d:])
        |(?P<mixed>\d+)(?:\s+|\s*又\s*)(?P<over>\d+)\s*/\s*(?P<below>\d+)(?![\d/.])
        |(?P<plain>
          \d{{1,3}}(?:\.\d{{3}})+,\d{{1,2}}(?!\d)                # 1.000,00
          |(?:\d{{1,3}}(?:,\d{{3}})+|\d{{1,2}}(?:,\d{{2}})+,\d{{3}}|\d{{1,3}}(?:'\d{{3}})+)(?!\d)(?:\.\d+)?
          |\d{{1,3}}(?:\ \d{{3}})+(?![\d.])|\d+(?:\.\d+)?|\.\d+
        )
        (?:\s*(?:\^|\*\*)\s*[{{(]?(?P<raised>[-+]?\d+)[)}}]?)?
        (?:\s*(?:e|[x×*]\s*10\s*(?:\^|\*\*))\s*[{{(]?(?P<power>[-+]?\d+)[)}}]?)?
        (?:\s*/\s*(?P<under>\d+(?:\.\d+)?)(?![\d/]))?
        (?:(?P<letter>\s?[kmb])(?![^\W_])|\s?(?P<great>
          万亿|萬億|[十百千万萬亿億兆]|(?:hundred|thousand|million|billion|trillion|bn|mn|tn)\b
        ))?
      )
      |(?:(?P<whole>{_LONG_NUMERAL})又)?(?:(?P<parts>{_LONG_NUMERAL}|(?<!\d)\d+)分之)?(?P<han>{_LONG_NUMERAL})
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
_NOT = re.compile(r"(?:\bnot|n['’]t(?:\s+be)?|不是|并非|不等于|不为|≠|!=)\W*$", re.IGNORECASE)
_WORKED = re.compile(r"(?:(?!because|since|因为|由于|[,;(，；（。\n]|\.\s).)*=", re.IGNORECASE)
_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{([^{}]+)\}|(\d))\s*(?:\{([^{}]+)\}|(\d))")
_RAISED = re.compile("[⁰¹²³⁴-⁹⁺⁻]+")
_VULGAR = re.compile("[¼-¾⅐-⅞]")
_HIDDEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_SPELT = (
    (re.compile(r"\\(?:text|mathrm|mbox)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\\times(?![a-z])|\\cdot(?![a-z])"), "×"),
    (re.compile(r"\\([%$])"), r"\1"),
    (re.compile(r"\{,\}|\\,(?=\d{3})"), ","),
    (re.compile(r"(?<=[A-Za-z)\]}])\s*[_^]\s*(?:\{[^{}]*\}|[-+]?\w+)"), " "),  # cm^2, x_1: part of a name or a unit
    (re.compile(r"(?i)\b(?:usd|rmb|cny|eur|gbp|hkd|us(?=\$))(?=[\d$.])"), " "),
    (re.compile(r"(?i)\bstep\s+\d+\s*[:.)]"), " "),
)
_BULLET = re.compile(r"^[ \t]*[-+*•][ \t]+", re.MULTILINE)
RELATIVE = 1e-6


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written: its value, and whether it was a share (percent, per mille)."""

    value: Decimal
    share: bool = False


def numbers(text: str) -> list[Number]:
    """Return every number of ``text`` in order, wherever a sentence has it."""
    return [number for number, _ in _found(_spelt(text))]


def _spelt(text: str) -> str:
    """Return a text in which whatever stands for a number is written in digits, signs and Chinese numerals."""
    raised = _RAISED.sub(lambda m: "^" + unicodedata.normalize("NFKC", m[0]) + " ", _VULGAR.sub(r" \g<0>", text))
    plain = unicodedata.normalize("NFKC", raised).translate(_HIDDEN).replace("\u2212", "-").replace("\u2044", "/")
    plain = _FRACTION.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]} ", plain)
    for pattern, by in _SPELT:
        plain = pattern.sub(by, plain)
    return _BULLET.sub("", plain) if "\n" in plain else plain


def _found(text: str) -> Iterator[tuple[Number, int]]:
    """Yield numbers and where they begin; what cannot be worked out, such as 5/0, is none."""
    for match in _NUMBER.finditer(text):
        try:
            value = _fraction(match) if match["han"] else _plain(match)
        except (ArithmeticError, ValueError):
            continue
        if match["half"]:
            value += Decimal("0.5") * Decimal(10) ** _power(match["great"])
        if match["sign"] and match["sign"].strip() != "+":
            value = -value
        under = {"百分之": 2, "千分之": 3, "万分之": 4}.get(match["of"] or "", 0)
        share = (match["share"] or "").lower()
        under += 3 if share == "‰" else 2 if share else 0
        yield Number(value.scaleb(-under), under > 0), match.start()


def _plain(match: re.Match[str]) -> Decimal:
    if match["clock"]:
        return sum((Decimal(part) / 60**place for place, part in enumerate(match["clock"].split(":"))), Decimal(0))
    if match["mixed"]:
        return int(match["mixed"]) + Decimal(match["over"]) / Decimal(match["below"])
    written = match["plain"]
    if re.fullmatch(r"[\d.]+,\d{1,2}", written):
        written = written.replace(".", "").replace(",", ".")
    value = Decimal(re.sub(r"[,' ]", "", written))
    power, raised = int(match["power"] or 0), int(match["raised"] or 1)
    if abs(power) > 400 or abs(raised) > 400:
        raise ValueError(power)
    value **= raised
    if match["under"]:
        value /= Decimal(match["under"])
    return value * Decimal(10) ** (power + _power(match["great"]) + _letter(match))


def _letter(match: re.Match[str]) -> int:
    """Return the power that a single letter stands for: 5k, 5M and $5 m; 5 m is five metres."""
    letter = match["letter"] or ""
    meant = match["money"] if letter[:1].isspace() or letter in {"m", "b"} else letter
    return _WORDS[letter.strip().lower()] if meant else 0


def _fraction(match: re.Match[str]) -> Decimal:
    """Return a Chinese numeral or fraction: 三, 四分之三, 一又二分之一."""
    value = _han(match["han"])
    if parts := match["parts"]:
        value /= Decimal(parts) if parts.isdecimal() else _han(parts)
    return value + (_han(match["whole"]) if match["whole"] else 0)


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
    """Return the numbers that an answer ends up with: in the box, after "the answer is", or else its last.

    Of a calculation it is what follows the last =; a number that the answer denies ("not 5") is none.
    """
    if boxed := _BOXED.findall(text):
        return _said(boxed[-1])[-1:]
    for announced in reversed(list(_ANNOUNCED.finditer(text))):
        rest = text[announced.end() :]
        worked = _WORKED.match(rest)
        if said := _said(rest[worked.end() :] if worked else rest):
            return said[:1]
    return _said(text)[-1:]


def _said(text: str) -> list[Number]:
    plain = _spelt(text)
    return [number for number, place in _found(plain) if not _NOT.search(plain[max(0, place - 20) : place])]


class Numeric(msgspec.Struct, tag="numeric", forbid_unknown_fields=True):
    """The answer's number equals a reference, within ``tolerance`` (absolute) or ``relative``.

    By default the number must be the one that the answer ends up with; ``anywhere`` takes any that it holds. A share
    equals the bare number before its sign (``5 %`` and ``5``) unless ``percent`` is ``strict``.
    """

    reference: References
    tolerance: float = 0.0
    relative: float = RELATIVE
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
        return any(abs(a - b) <= max(slack, self._share(a, b) * abs(b)) for a, b in pairs)

    def _share(self, a: Decimal, b: Decimal) -> Decimal:
        # The default is for what was rounded; whole numbers were not.
        whole = self.relative == RELATIVE and a == a.to_integral_value() and b == b.to_integral_value()
        return Decimal(0) if whole else Decimal(repr(self.relative))
