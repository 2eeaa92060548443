"""Questions reduced to what they ask about, and answers to what can be contradicted.

This module knows words of politeness and of asking, numbers, dates and negations, in English and Chinese. It does not
know rows, nor which answer is right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from feilun.curation.quality.figures.amounts import Amount, amounts, lacking, numeral, spelt
from feilun.curation.quality.figures.classifier import tokens
from feilun.records import derived_id, text_digest

_ASKED = 400  # characters of a question
_ANSWERED = 4_000
_DIGITS_KEPT = 24  # of a digest in hexadecimal: 96 bits
_KEPT = 32  # smallest token hashes that stand for an answer (bottom-k sketch, Cohen and Kaplan 2007)
# What a question wants, by the words that ask for it; of two kinds that differ the questions are not the same.
_KINDS = (
    ("when", r"什么时候|何时|几点|哪天|哪一天|几号|\bwhen\b|\bwhat time\b|\bwhat date\b|\bwhich day\b"),
    (
        "long",
        r"多久|多长时间|几天|多少天|几个月|几年|多少年|\bhow long\b|\bhow many (?:days|weeks|months|years|hours)\b",
    ),
    (
        "price",
        r"多少钱|几块钱?|什么价|(?:(?<=[费价])|(?<=[费价][用格是要为])|(?<=[费价][用格][是要为]))多少元?|\bhow much\b",
    ),
    ("where", r"在?(?:哪里|哪儿|何处|什么地方|哪(?![个些位天]))|\bwhere\b"),
    ("who", r"谁|哪位|\bwho\b|\bwhose\b|\bwhom\b"),
    ("why", r"为什么|为何|为啥|\bwhy\b"),
    ("many", r"多少|几(?=[个名次人条台辆件张])|\bhow many\b"),
    ("can", r"能不能|可不可以|能否|可否|是否|是不是|有没有|\bcan i\b|\bmay i\b|\bam i allowed\b|\bis it possible\b"),
    ("how", r"怎么样?|如何|怎样|咋|\bhow (?:do|can|to|does|should)\b|\bhow\b"),
)
_POLITE = re.compile(
    r"请问|你好|您好|麻烦|请教|劳驾|告诉我|我想知道|想知道|想问一下|问一下|一下|到底|究竟|目前|现在|我们|你们|咱们|贵"
    r"|什么|哪些|哪个|啥|[吗呢呀啊吧嘛哦的了是有请我你您]"
    r"|\b(?:please|hi|hello|hey|could you|can you|would you|tell me|let me know|i want to know|i would like to know"
    r"|do you know|what|which|is|are|was|were|do|does|did|the|a|an|of|for|your|our|my|i|you|it|there|to|in|on|at|be"
    r"|have|has|we|us|me|exactly|currently|now)\b"
)
_DIRECTED = re.compile(r"[到至给比欠向转从]|\b(?:to|from|than|into|versus|vs)\b")
# A sign that belongs to a figure or a letter makes another thing of it: -5, O+, C#. So does what a figure counts: 3栋.
_PARTS = re.compile(
    r"(?:\d+|[零一二三四五六七八九十百两]+)[\u3400-\u9fff]|[\u3400-\u9fff]|(?<![a-z0-9)%.])[-−]\d+(?:\.\d+)*|\d+(?:[.,:]\d+)+"
    r"|[^\W_\u3400-\u9fff]+(?:(?<![^\W_][^\W_][^\W_])(?:\+\+|[+#]|[-−](?!\w))(?!\w))?"
)
# Requests that have as many right answers as one likes; the verb stands at the beginning.
_OPEN = re.compile(
    r"\s*(?:请|帮我|帮忙|给我|为我|替我|你能|能不能|可以|麻烦|你|再)*(?:写|编[一个]|创作|讲[一个]|续写|翻译|改写|润色|总结|概括|推荐|列举"
    r"|列出|举例|想象|随机|生成|起[一个]?名|取[一个]?名|扮演|聊聊|设计|根据)"
    r"|\s*(?:please |can you |could you |would you |help me |now )*(?:write|compose|generate|create|tell (?:me|us) an?"
    r"|translate|rewrite|rephrase|summari[sz]e|suggest|recommend|list|give (?:me )?(?:an?|some|\d+)|imagine|pretend"
    r"|brainstorm|describe|design|name (?:an?|some|\d+))\b"
)
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d)\s?[-/.年]\s?(\d{1,2})(?:\s?[-/.月]\s?(\d{1,2}))?(?!\d)|(?<!\d)(\d{1,2})月(\d{1,2})[日号]"
)
_MONTH_NAMES = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES.split("|"), 1)}
_NAMED = re.compile(
    rf"\b(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? )?(?P<month>{_MONTH_NAMES})[a-z]*\b\.?"
    r"(?(day)| (?P<later>\d{1,2})(?:st|nd|rd|th)?(?!\d))(?:,? (?P<year>(?:19|20)\d\d))?\b"
)
_HAN_DATE = re.compile(
    r"[〇零一二三四五六七八九]{4}(?=年)|(?<![一二三四五六七八九十])[一二三四五六七八九十]{1,3}(?=月[一二三四五六七八九十\d]{1,3}[日号])"
    r"|(?<=月)[一二三四五六七八九十]{1,3}(?=[日号])"
)
_NEGATION = re.compile(
    r"不(?!过|仅|但|同|断|管|妨|错|少)|没有?|无(?!论|线|锡)|未(?!来)|非(?!常|洲)|勿|禁止|否"
    r"|\b(?:not|no|never|none|cannot|neither|nor|without|unable|forbidden|prohibited)\b|n't\b"
)
_YES = re.compile(r"(?:是的?|可以|能|对|会|支持|允许|需要|有|yes|yeah|sure|correct|true|right|[✓✔☑✅√👍])(?![a-z])")
_NO = re.compile(r"(?:不|否|没|无法|禁止|no|not|never|false|incorrect|wrong|[✗✘✕✖❌☒×👎])(?![a-z])")


@dataclass(frozen=True, slots=True)
class Question:
    """``key``: equal for questions about the same; ``kinds``: what they want (both must fit, none fits all)."""

    key: str
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What can be compared of an answer without its text."""

    digest: str
    numbers: tuple[Amount, ...]
    dates: tuple[str, ...]
    polarity: int
    parts: bytes  # uint32, sorted
    size: int


def question(text: str) -> Question | None:
    """Return what a question asks; None if it asks too little, or for something of one's own making."""
    plain = spelt(text[:_ASKED])
    if _OPEN.match(plain):
        return None
    kinds = []
    for name, pattern in _KINDS:
        rest = re.sub(pattern, " ", plain)
        if rest != plain:
            kinds.append(name)
            plain = rest
    ordered = _DIRECTED.search(plain) is not None
    parts = [_stem(part) for part in _PARTS.findall(_POLITE.sub(" ", plain))]
    if len("".join(parts)) < (2 if any(part >= "\u3400" for part in parts) else 3):
        return None
    figures = [part for part in parts if part.isdigit()]
    key = parts if ordered else [*sorted(parts), *(figures if len(figures) > 1 else ())]
    return Question(" ".join(key), tuple(sorted(kinds)))


def _stem(word: str) -> str:
    if len(word) > 3 and word.isascii() and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def answer(text: str) -> Answer:
    """Return what can be compared of an answer."""
    plain = spelt(text[:_ANSWERED])
    told = _HAN_DATE.sub(lambda match: numeral(match[0]), plain)
    dates = tuple(sorted(set(_dates(told))))
    numbers = amounts(_NAMED.sub(" ; ", _DATE.sub(" ; ", told)))
    small = np.unique(tokens(plain))[:_KEPT].tobytes()
    polarity = _polarity(plain)
    # What a digest of words leaves out, signs and ticks, may be all that answers differ in.
    told_so = derived_id("a", text_digest(plain), str(polarity), *(told.kind + told.shown for told in numbers))
    return Answer(told_so[:_DIGITS_KEPT], numbers, dates, polarity, small, len(plain))


def _dates(plain: str) -> list[str]:
    found = []
    for year, month, day, own_month, own_day in _DATE.findall(plain):
        found.append("-".join(part.zfill(2) for part in (year, month or own_month, day or own_day) if part))
    for match in _NAMED.finditer(plain):
        parts = (match["year"], str(_MONTHS[match["month"]]), match["day"] or match["later"])
        found.append("-".join(part.zfill(2) for part in parts if part))
    return found


def _other_dates(one: Answer, other: Answer) -> list[str]:
    """Return the dates of ``one`` that fit none of ``other``; a year or a day may be left out."""
    return [
        mine
        for mine in one.dates
        if not any(f"-{a}-" in f"-{b}-" for d in other.dates for a, b in ((mine, d), (d, mine)))
    ]


def _polarity(plain: str) -> int:
    """Return −1 for an answer that says no, 1 for one that says yes, 0 for others; an even number of noes is none."""
    start = plain.lstrip()[:24]
    if _NO.match(start):
        return -1
    if _YES.match(start):
        return 1
    first = re.split(r"[。！？!?\n]|\.\s", plain, maxsplit=1)[0][:200]
    return -1 if len(_NEGATION.findall(first)) % 2 else 0


def overlap(one: Answer, other: Answer) -> float:
    """Return the estimated Jaccard index of the words of two answers (0–1)."""
    mine, yours = np.frombuffer(one.parts, np.uint32), np.frombuffer(other.parts, np.uint32)
    both = np.union1d(mine, yours)[:_KEPT]
    return float(np.count_nonzero(np.isin(both, mine) & np.isin(both, yours))) / max(1, len(both))


def clash(one: Answer, other: Answer) -> tuple[str, str]:
    """Return by what two answers contradict each other (a reason, and both sides), or nothing.

    An answer whose figures are all in the other one tells less, and does not contradict it.
    """
    if one.digest == other.digest:
        return "", ""
    pairs = (
        ("dates", _other_dates(one, other), _other_dates(other, one)),
        ("numbers", lacking(one.numbers, other.numbers), lacking(other.numbers, one.numbers)),
    )
    for reason, mine, yours in pairs:
        if mine and yours:
            return reason, f"{', '.join(sorted(mine)[:3])} ≠ {', '.join(sorted(yours)[:3])}"
    alike = overlap(one, other)
    said = {one.polarity, other.polarity}
    if said == {-1, 1} or (said == {-1, 0} and alike >= 0.5):
        return "negation", "yes ≠ no" if one.polarity > other.polarity else "no ≠ yes"
    told = bool((one.numbers and other.numbers) or (one.dates and other.dates))
    agreed = (told and not any(mine or yours for _, mine, yours in pairs)) or one.polarity == other.polarity == 1
    if alike < 0.2 and max(one.size, other.size) <= 200 and not agreed:
        return "different", ""
    return "", ""
