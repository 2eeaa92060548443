"""Amounts in texts: what numbers, clock times, sums of money and measures are worth, however they are written.

This module knows numerals, units and clocks, in English and Chinese. It does not know questions, answers nor dates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isclose

_DIGIT = {one: value for value, one in enumerate("零一二三四五六七八九")} | {"两": 2, "兩": 2, "〇": 0}
_PLACE = {"十": 1e1, "百": 1e2, "千": 1e3, "万": 1e4, "萬": 1e4, "亿": 1e8, "億": 1e8}
_HAN, _PLACES = "".join(_DIGIT), "".join(_PLACE)
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_WORDS = {word: n for n, word in enumerate(_ONES.split())} | {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}
_SCALES = {"hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "mn": 1e6, "billion": 1e9, "bn": 1e9}
# What units measure, and how many of the least one they are; a month has no fixed number of days.
_MEASURES = (
    ("time", 1 / 60, "秒 秒钟 second sec"),
    ("time", 1.0, "分钟 minute min"),
    ("time", 60.0, "小时 钟头 hour hr"),
    ("time", 1440.0, "天 day"),
    ("time", 7 * 1440.0, "周 星期 礼拜 week"),
    ("time", 14 * 1440.0, "fortnight"),
    ("months", 1.0, "月 month"),
    ("months", 3.0, "季度 quarter"),
    ("months", 12.0, "年 周年 year yr"),
    ("share", 0.01, "% percent pct"),
    ("share", 0.001, "‰"),
    ("share", 0.1, "成"),
    ("cny", 1.0, "元 块 块钱 元人民币 人民币 yuan rmb cny"),
    ("cny", 0.1, "角 毛钱"),
    ("usd", 1.0, "dollar usd 美元 美金"),
    ("eur", 1.0, "euro eur € 欧元"),
    ("gbp", 1.0, "gbp £ 英镑"),
    ("hkd", 1.0, "hkd 港元 港币"),
    ("jpy", 1.0, "yen jpy 日元"),
    ("money", 0.01, "cent ¢"),
    ("length", 0.001, "毫米 mm millimetre millimeter"),
    ("length", 0.01, "厘米 cm centimetre centimeter"),
    ("length", 1.0, "米 metre meter"),
    ("length", 1000.0, "公里 千米 km kilometre kilometer"),
    ("mass", 0.001, "毫克 mg milligram"),
    ("mass", 1.0, "克 gram"),
    ("mass", 500.0, "斤"),
    ("mass", 1000.0, "公斤 千克 kg kilogram kilo"),
    ("mass", 1e6, "吨 tonne"),
    ("volume", 0.001, "毫升 ml millilitre milliliter"),
    ("volume", 1.0, "升 litre liter"),
)
_UNITS = {name: (kind, factor) for kind, factor, names in _MEASURES for name in names.split()}
_SIGNED = {"us$": "usd", "hk$": "hkd", "$": "usd", "€": "eur", "£": "gbp", "¥": "money"}
_MONEY = frozenset({"cny", "usd", "eur", "gbp", "hkd", "jpy", "money"})


def _any(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_LATIN = _any(name for name in _UNITS if name.isascii() and name.isalpha())
_OTHER = _any(name for name in _UNITS if not (name.isascii() and name.isalpha()))
_HALVED = "小时|钟头|月|天|年|周|斤|公里|公斤"
_TOLD = re.compile(rf"[\d{_HAN}{_PLACES}半½★]|\b(?:{_any(_WORDS)}|half|an?|noon|midnight)\b|[a-z](?:[+#]|-(?!\w))")
_FOLDED = str.maketrans("−‐‑‒–—⁄～", "------/~")
_RAISED, _MIXED = re.compile("[⁰¹²³⁴-⁹⁻]+"), re.compile("(?<=[0-9])(?=[¼-¾⅐-⅞])")
_TELEPHONE = re.compile(
    r"(?<![\d.,-])(?:\+\d{1,3}|0\d{1,4}|\d{3,4}(?=[- ]\d{3,4}[- ]\d{4}))(?:[- ]\d{3,8}){1,3}(?![\d,]|\.\d)"
    r"|\(0\d{1,4}\)[- ]?\d{3,4}[- ]?\d{3,4}(?![\d,]|\.\d)"
    r"|(?<![\d.,])\d{10,}"
)
_GRADE = re.compile(r"(?<![^\W_])[a-z]{1,2}(?:\+\+|[+#]|-)(?![\w(-])")
_RUN = re.compile(
    rf"(?:\d+(?:\.\d+)?|[{_HAN}十])(?:[{_HAN}{_PLACES}]|(?<=[{_PLACES}])\d{{1,9}}(?:\.\d{{1,9}})?){{0,24}}"
)
# Numerals of Chinese count where something is measured or counted by them; elsewhere they are parts of words.
_MEASURED = re.compile(
    rf"个?(?:{_OTHER})|分(?:钟|之|\W|$)|[日号月个点次倍人名位岁折楼层扇张条件份台辆种家间门本页章段步级届期欧美英项度刻半]|[到至或~-][{_HAN}十\d]|\W*$"
)
_SCALED = re.compile(rf"([{_HAN}]|\d+(?:\.\d+)?)([百千]?[万萬亿億])")
_POINT = re.compile(rf"(?<![上下]午)(?<![早晚]上)(\d{{1,9}}|[{_HAN}十百]{{1,9}})点([{_HAN}]{{1,9}})(?![{_HAN}十分])")
_SAID = re.compile(
    rf"\b(?:{_any(_WORDS)})(?:(?:[ -]| and )(?:{_any(_WORDS)}|hundred|thousand)\b)*"
    r"|\ban?(?= (?:hundred|thousand|million)\b)"
)
_ARTICLE = re.compile(rf" (?:{_LATIN}|{_any(_SCALES)})s?\b")
_BEFORE = r"(?:within|in|after|for|takes?|lasts?|about|least|most|than|every|is) "
_REWRITTEN = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"(?<=\d)[, ](?=\d{3}(?!\d))|(?<=\d),(?=\d\d,\d)", ""),
        (r"(?<![\d.])(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?![\d,])", r"\1:,\2"),
        (r"(?<![\d.,])(\d+),(\d{1,2})(?![\d,])", r"\1.\2"),
        (r"百分之(-?\d+(?:\.\d+)?)", r"\1%"),
        (r"千分之(-?\d+(?:\.\d+)?)", r"\1‰"),
        (r"(\d+)分之(\d+)", r"\2/\1"),
        (r"\bper cent\b", "percent"),
        (rf"\b({_BEFORE})an? (?=(?:{_LATIN})\b)", r"\g<1>1 "),
        (r"\bhalf an? (?=[a-z])|\bhalf-(?=[a-z])", "0.5 "),
        (r"(\d) and a half(?= [a-z])", r"\1.5"),
        (rf"(\d)个?半(?=个?(?:{_HALVED}))", r"\1.5"),
        (rf"(?<!点)半(?=个?(?:{_HALVED}))", "0.5"),
        (r"(\d)(个小时|小时|个月|天|年|周)半", r"\1.5\2"),
        (r"(?:负|零下|\b(?:minus|negative) )(?=[$€£¥]?\d)", "-"),
        (r"(?<![\d.-])(\d+(?:\.\d+)?(?: ?(?:degrees?|°c?|celsius|c|度))*) below (?:0|freezing)", r"-\1"),
        (r"([$€£¥])-(?=\d)", r"-\1"),
    )
)
_STARS = re.compile("(★+)☆*")
_CLOCK = re.compile(
    r"(?:(?P<part>上午|早上|凌晨|早晨|清晨|中午|下午|傍晚|晚上?)\s?)?(?<![\d.:])(?P<hour>2[0-4]|[01]?\d)(?![\d.])"
    r"(?:点钟?(?:(?P<han>\d\d?)(?!\d|\.|%)分?|(?P<half>半)|(?P<quarter>[13])刻)?"
    r"|:(?P<minute>[0-5]\d)(?::[0-5]\d)?(?![\d:])(?:\s?(?P<m>[ap])\.?m\b\.?)?|\s?(?P<only>[ap])\.?m\b\.?|\s?o'clock)"
    r"|\b(?P<named>noon|midnight)\b"
)
_AMOUNT = re.compile(
    r"(?P<minus>(?<![a-z0-9)\]%])-)?(?P<money>us\$|hk\$|[$€£¥])?\s?(?<![\d.])(?P<number>\d+(?:\.\d+)*)(?::,(?P<cents>\d+))?"
    r"(?:(?:(?<=\d) (?P<over>[1-9]))?/(?P<under>[1-9]\d?)(?![\d/]))?"
    r"(?:(?P<times>\s?[×x*]\s?10)?\^(?P<power>-?\d\d?)(?!\d))?"
    rf"(?:[ -]?(?P<scale>{_any(_SCALES)})(?![a-z])|(?P<places>[{_PLACES}]+))?"
    rf"(?:\s?(?:个)?(?P<other>{_OTHER})|[ -]?(?P<latin>{_LATIN})s?(?![a-z]))?"
)
_TO = re.compile(r"\s?(?:-|~|to|till|until|or|至|到|或)\s?[$€£¥]?")


@dataclass(frozen=True, slots=True)
class Amount:
    """``number`` as it is told; ``kind`` of what is measured ("" if that is not told); ``worth`` in the least unit.

    A ``clock`` is worth minutes; its ``style`` says how sure the half of the day is: ``day`` (13:00, 09:00), ``half``
    (am or pm), ``written`` (9:00), or nothing. What is no number, as a telephone's, is a ``name``. ``said`` is how the
    text has it, with its unit.
    """

    shown: str
    number: float = 0.0
    kind: str = ""
    worth: float = 0.0
    style: str = ""
    said: str = field(default="", compare=False)

    def same(self, other: Amount) -> bool:
        """Tell whether both may mean the same; a bare number means what the other one does."""
        kinds = {self.kind, other.kind}
        if "name" in kinds:
            return self.shown == other.shown
        if kinds == {"clock"}:
            styles = {self.style, other.style}
            unsure = "" in styles or styles == {"written", "half"}
            return self.worth == other.worth or (unsure and (self.worth - other.worth) % 720 == 0)
        if kinds == {"time", "months"}:
            months, time = (self, other) if self.kind == "months" else (other, self)
            return 28 * 1440 * months.worth <= time.worth <= 31 * 1440 * months.worth
        if "" in kinds:
            hour = kinds == {"", "clock"} and _close(self.number % 12, other.number % 12)
            return hour or _close(self.number, other.number) or _close(self.worth, other.worth)
        return (len(kinds) == 1 or ("money" in kinds and kinds <= _MONEY)) and _close(self.worth, other.worth)


def _close(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def spelt(text: str) -> str:
    """Return a text with one spelling for case, width, dashes, fractions and powers."""
    raised = text if text.isascii() else _RAISED.sub(r"^\g<0>", _MIXED.sub(" ", text))
    return unicodedata.normalize("NFKC", raised).casefold().translate(_FOLDED)


def amounts(plain: str) -> tuple[Amount, ...]:
    """Return the amounts of a spelt text, each once: numbers, times, names that end in a sign (``A-``, ``C#``)."""
    if not _TOLD.search(plain):
        return ()
    found = [Amount(match[0], kind="name") for match in _GRADE.finditer(plain)]

    def named(match: re.Match[str]) -> str:
        digits = "".join(filter(str.isdigit, match[0]))
        if len(digits) < 7:
            return match[0]
        found.append(Amount(digits, kind="name"))
        return " "

    plain = _SAID.sub(_english, _TELEPHONE.sub(named, plain))
    if not plain.isascii():
        plain = _STARS.sub(lambda match: f" {len(match[1])} ", _POINT.sub(_pointed, plain))
        plain = _RUN.sub(_chinese, plain)
    for pattern, by in _REWRITTEN:
        plain = pattern.sub(by, plain)
    found += _clocks(plain)
    found += _measured(_CLOCK.sub(" ; ", plain))
    return tuple(dict.fromkeys(found))


def _english(match: re.Match[str]) -> str:
    if match[0] == "one" and not _ARTICLE.match(match.string, match.end()):
        return match[0]  # a pronoun
    total = part = 0
    for word in re.split("[ -]", match[0]):
        if word in {"hundred", "thousand"}:
            part *= int(_SCALES[word])
            if word == "thousand":
                total, part = total + part, 0
        else:
            part += _WORDS.get(word, word in {"a", "an"})
    return str(total + part)


def _pointed(match: re.Match[str]) -> str:
    whole = match[1] if match[1].isdigit() else numeral(match[1])
    return f"{whole}." + "".join(str(_DIGIT[one]) for one in match[2])


def _chinese(match: re.Match[str]) -> str:
    """Return a numeral in digits, where it is one."""
    run, text = match[0], match.string
    if run.isascii():
        return run
    if scaled := _SCALED.fullmatch(run):
        return f"{_DIGIT.get(scaled[1], scaled[1])}{scaled[2]}"
    before = text[max(0, match.start() - 2) : match.start()]
    counted = before.endswith(("之", "第", "点", "负", "零下")) or (len(run) > 1 and run[-1] in "百千万萬亿億")
    return numeral(run) if counted or _MEASURED.match(text, match.end()) else run


def numeral(run: str) -> str:
    """Return in digits the value of a numeral: ``三万五千``, ``3万5千``, ``三万五``, ``二〇二四``."""
    if all(one in _DIGIT for one in run):
        return "".join(str(_DIGIT[one]) for one in run)
    total = section = part = 0.0
    last = 1.0
    for piece in re.findall(r"\d+(?:\.\d+)?|.", run):
        if piece in _DIGIT:
            part, last = float(_DIGIT[piece]), (last if _DIGIT[piece] else 10.0)
        elif piece not in _PLACE:
            part = float(piece)
        elif _PLACE[piece] >= 1e4:
            total, section, part, last = (total + section + part) * _PLACE[piece], 0.0, 0.0, _PLACE[piece]
        else:
            section, part, last = section + (part or 1.0) * _PLACE[piece], 0.0, _PLACE[piece]
    value = total + section + part * (last / 10 if last > 10 else 1)
    return f"{value:.12g}" if value != int(value) else str(int(value))


def _clocks(plain: str) -> Iterator[Amount]:
    before: Amount | None = None
    ended = 0
    for match in _CLOCK.finditer(plain):
        if match["named"]:
            yield Amount(match["named"], 12.0, "clock", 720.0 if match["named"] == "noon" else 1440.0, "half")
            continue
        hour, half = int(match["hour"]), match["m"] or match["only"] or ""
        minute = int(match["han"] or match["minute"] or 0) + 30 * bool(match["half"]) + 15 * int(match["quarter"] or 0)
        part = match["part"] or ""
        late = half == "p" or part in {"下午", "傍晚", "晚", "晚上"} or (part == "中午" and hour < 10)
        style = "half" if half or part else "written" if match["minute"] else ""
        if hour > 12 or (match["hour"][0] == "0" and not half):
            style = "day"
        elif style == "half":
            hour = hour % 12 + 12 * late if half or late else hour
        worth = 60.0 * hour + minute
        joined = before is not None and _TO.fullmatch(plain, ended, match.start())
        if joined and before is not None and worth < before.worth and hour < 12 and style in {"", "written"}:
            worth += 720  # from nine to five
        ended = match.end()
        before = Amount(match[0].strip(), hour + minute / 60, "clock", worth, style)
        yield before


def _measured(plain: str) -> list[Amount]:
    found: list[Amount] = []
    ended = -1
    for match in _AMOUNT.finditer(plain):
        number = _number(match)
        if number is None:
            found.append(Amount(match["number"], kind="name"))
            continue
        scale = _SCALES.get(match["scale"] or "", 1.0)
        for place in match["places"] or "":
            scale *= _PLACE[place]
        kind, factor = _UNITS.get(match["other"] or match["latin"] or "", ("", 1.0))
        if match["money"] and kind not in _MONEY:
            kind, factor = _SIGNED[match["money"]], 1.0
        if ended >= 0 and found and _TO.fullmatch(plain, ended, match.start("number")):
            first = found[-1]
            if not first.kind and first.number < number * scale:
                # From 3 to 5 weeks, 3-5万: what is told of the end holds for the beginning.
                told = first.number * (scale if first.number < number else 1.0)
                found[-1] = Amount(f"{told:.12g}", told, kind, told * factor)
            elif first.kind in _MONEY and not kind:
                kind = first.kind
        number *= scale
        found.append(Amount(f"{number:.12g}", number, kind, number * factor, said=match[0].strip()))
        ended = match.end()
    return found


def _number(match: re.Match[str]) -> float | None:
    """Return the number that is told; None for what only looks like one (``1.2.3``)."""
    told = match["number"]
    if match["cents"] or re.fullmatch(r"\d{1,3}(?:\.\d{3}){2,}", told):
        told = told.replace(".", "") + ("." + match["cents"] if match["cents"] else "")
    if told.count(".") > 1:
        return None
    number = float(told)
    if match["under"] and (match["over"] or number < int(match["under"])):
        number = number + int(match["over"]) / int(match["under"]) if match["over"] else number / int(match["under"])
    if match["power"] and (number or match["power"][0] != "-"):
        power = int(match["power"])
        number = number * 10.0**power if match["times"] else min(number, 1e3) ** power
    return -number if match["minus"] else number


def lacking(one: Sequence[Amount], other: Sequence[Amount]) -> list[str]:
    """Return those of ``one`` that no amount of ``other`` may mean, as they are told."""
    return [mine.said or mine.shown for mine in one if not any(mine.same(yours) for yours in other)]
