"""Text as people wrote it -> text fit for comparing and learning.

This module knows characters, dates, scripts and marks of age. It does not know pairs, files or permissions. Repair
of wrongly decoded text (mojibake) is not done here.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from feilun.records import normalise_text

# Joiners are part of the spelling in Arabic and Indic scripts, and of emoji.
_INVISIBLE = re.compile(
    "(?<![\u0600-\u06ff\u0900-\u0dff\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])[\u200c\u200d]"
    "|[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad\ufff9-\ufffb]"
)
_FENCE = re.compile("(?: {0,3}|[ \t>*+-]*)(```+|~~~+)")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_GRAMMAR = re.compile(r"(?i)\b(?:the|is|are|what|how|who|when|where|do|does|can|an?|of|to|in|for)\b", re.ASCII)
_KANA = re.compile("[\u3040-\u30ff]")
_OLD = (
    r"superseded|obsolete|outdated|withdrawn|expired|deprecated|retired|archived|replaced|no longer valid"
    r"|(?:已|被)?(?:废止|作废|失效|过期|停用|废弃|取代|替代)|旧版"
)
_OLD_STATUS = re.compile(rf"(?i)^\W*(?:{_OLD})")
_OLD_LINE = re.compile(
    rf"(?i)^\W*(?:(?:status|state|状态|狀態)\W*[:：]\W*(?:{_OLD})"
    rf"|(?:this (?:document|list|page|version|notice|policy) (?:is|was|has been) )?(?:superseded|replaced) (?:by|on)\b"
    rf"|(?:本(?:文件|通知|规定|办法|版本))(?:已|被).{{0,12}}(?:废止|作废|失效|取代|替代))"
)
_STATUS_LINE = re.compile(r"(?i)^\W*(?:status|state|状态|狀態)\W*[:：]")
_OLD_WORD = "obsolete|outdated|withdrawn|已?(?:废止|作废|失效)"
_OLD_NAME = re.compile(
    r"(?i)(?:^|[^a-z])(?:superseded|deprecated)(?:[^a-z]|$)|已(?:废止|作废|失效)(?:版本?)?[\W_]*$"
    rf"|(?:^|[\W_])(?:{_OLD_WORD})(?:版本?)?[\W_]*$|^[\W_]*(?:已?(?:废止|作废|失效))[\W_]"
    rf"|[(（\[【]\s*(?:{_OLD_WORD})\s*[)）\]】]"
)
_DATE_LINE = re.compile(
    r"(?i)^\W*(?:effective|valid|in force|updated|last updated|date|version|revised|reviewed|as of|issued"
    r"|published|生效|有效|更新|修订|发布|日期|版本)"
)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_YEAR = r"(?:19|20)\d\d"
_NAME = r"(?P<n>[a-z]{3,9})\.?"
_HAN_YEAR = "[〇零○一二三四五六七八九]{4}"
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<!\d)(?P<y>{_YEAR})(?:[-/.]|\s*年\s*)(?P<m>\d{{1,2}})(?!\d)(?:(?:[-/.]|\s*月\s*)(?P<d>\d{{1,2}})(?!\d))?",
        rf"(?<!\d)(?P<y>{_YEAR})(?P<m>\d\d)(?P<d>\d\d)(?!\d)",
        r"民[国國]\s*(?P<r>\d{1,3})\s*年(?:\s*(?P<m>\d{1,2})\s*月(?:\s*(?P<d>\d{1,2}))?)?",
        rf"(?P<h>{_HAN_YEAR})年(?:(?P<m>[一二三四五六七八九十]{{1,2}})月(?:(?P<d>[一二三四五六七八九十]{{1,3}}))?)?",
        rf"(?<![\d./-])(?P<d>\d{{1,2}})(?P<s>[-/.])(?P<m>\d{{1,2}})(?P=s)(?P<y>{_YEAR})(?!\d)",
        rf"(?i)\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:\s+|-)(?:of\s+)?{_NAME}(?:,?\s+|-)(?P<y>{_YEAR}|(?<=-)\d\d)(?!\d)",
        rf"(?i)\b{_NAME}\s+(?:(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+)?(?P<y>{_YEAR})(?!\d)",
        rf"(?<!\d)(?<!(?<![Qq])\d[ .,:/-])(?<![$€£¥￥])(?P<y>{_YEAR})(?!\d)(?![ .,:/-](?!{_YEAR}(?!\d))\d)",
    )
)
_HAN_DIGITS = str.maketrans("〇零○一二三四五六七八九", "000123456789")
_VERSION = re.compile(r"(?i)(?:\bv(?:ersion|er)?\.?\s*|版本\W*|第)(\d+(?:\.\d+)*)")


def clean_text(text: str) -> str:
    """Return ``text`` in NFC, without invisible and control characters, plain spaces, at most one empty line.

    Between the fences of code (Markdown's) spaces stay as they are: they are part of what it says.
    """
    text = unicodedata.normalize(
        "NFC", _CONTROL.sub("", _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))
    )
    lines = text.replace("\u2028", "\n").replace("\u2029", "\n").split("\n")
    code = _fenced(lines) if "```" in text or "~~~" in text else ()
    cleaned = (line.rstrip() if at in code else " ".join(line.split()) for at, line in enumerate(lines))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(cleaned)).strip()


def _fenced(lines: Sequence[str]) -> set[int]:
    """Return which lines stand between two fences; a fence that nothing closes is none."""
    inside: set[int] = set()
    opened, fence = -1, ""
    for at, line in enumerate(lines):
        if opened >= 0 and line.strip() == fence:
            inside.update(range(opened + 1, at))
            opened = -1
        elif opened < 0 and (match := _FENCE.match(line)):
            opened, fence = at, match[1]
    return inside


def language(text: str) -> str:
    """Return ``zh`` or ``en`` by the script of the text.

    With English grammar words the Han letters must outnumber the Latin ones; without, product names in Latin letters
    may be eight times as long.
    """
    han = len(_HAN.findall(text))
    latin = sum(char.isalpha() for char in text) - han
    if not han or _KANA.search(text):
        return "en"
    return "zh" if (han > latin if _GRAMMAR.search(text) else 8 * han >= latin) else "en"


def date_in(text: str) -> str:
    """Return the first date of ``text`` as ISO day (missing parts are 01), or nothing.

    Days are looked for before months and those before lone years, so that ``fees 2025, valid from 3 May 2024`` is of
    2024. ``5/1/2024`` is 5 January, ``8/15/2024`` 15 August; a day that no calendar has is no date.
    """
    found: list[tuple[int, int, str]] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            parts = {name: part for name, part in match.groupdict().items() if part}
            if day := _day_of(parts):
                found.append((2 - ("d" in parts) - ("d" in parts or "m" in parts or "n" in parts), match.start(), day))
    return min(found)[2] if found else ""


def _day_of(parts: Mapping[str, str]) -> str:
    if "r" in parts:
        year = int(parts["r"]) + 1911
    else:
        year = int(parts["h"].translate(_HAN_DIGITS) if "h" in parts else parts["y"])
    month, day = (_number(parts.get(key, "1")) for key in "md")
    if "n" in parts:
        short = parts["n"][:3].casefold()
        month = _MONTHS.index(short) + 1 if short in _MONTHS else 0
    if "s" in parts and month > 12:
        month, day = day, month
    try:
        return dt.date(year + 2000 * (year < 100), month, day).isoformat()
    except ValueError:
        return ""


def _number(text: str) -> int:
    """Return a number up to 99 in digits or in Chinese numerals."""
    if "十" not in text:
        return int(text.translate(_HAN_DIGITS))
    tens, ones = (part.translate(_HAN_DIGITS) for part in text.split("十", 1))
    return 10 * int(tens or 1) + int(ones or 0) if (tens or "1").isdecimal() and (ones or "0").isdecimal() else 0


def version_in(text: str) -> tuple[int, ...]:
    """Return the version number of ``text`` (``v2.1``, ``Version 3``), or nothing."""
    match = _VERSION.search(text)
    return tuple(int(part[:9]) for part in match[1].split(".")) if match else ()


def old_status(text: str) -> bool:
    """Tell whether a status cell says that the row no longer holds (superseded, 已废止 …)."""
    return _OLD_STATUS.search(text) is not None


def is_mark(text: str) -> bool:
    """Tell whether a text is nothing but a mark of age such as ``Effective: 1 January 2025``."""
    return (
        len(text) < 80 and ("：" in text or ":" in text) and bool(_DATE_LINE.search(text) or _STATUS_LINE.search(text))
    )


def age_of(name: str, lines: Iterable[str]) -> tuple[bool, str, tuple[int, ...]]:
    """Return (superseded, stated day, version) from a document's name and its first lines.

    A name says that by a word set apart: ``fees (obsolete).md``; how to handle void cards is a subject like others.
    """
    path = PurePosixPath(name)
    superseded = any(_OLD_NAME.search(part) for part in (*path.parent.parts, path.stem))
    day, version = "", tuple[int, ...]()
    for line in lines:
        superseded = superseded or _OLD_LINE.search(line) is not None
        if _DATE_LINE.search(line):
            day = day or date_in(line)
            version = version or version_in(line)
    return superseded, day or date_in(name), version or version_in(name.replace("_", " "))


def boilerplate(texts: Iterable[Iterable[str]]) -> frozenset[str]:
    """Return the normalised lines that stand in many documents: page heads, feet, disclaimers.

    ``texts`` holds the lines of each document. Many is a tenth of the documents, at least 3 and at most 10.
    """
    counts: Counter[str] = Counter()
    documents = 0
    for lines in texts:
        documents += 1
        counts.update({key for line in lines if len(key := normalise_text(line)) >= 4})
    enough = max(3, min(10, -(-documents // 10)))
    return frozenset(key for key, count in counts.items() if count >= enough)


def without_boilerplate(text: str, furniture: frozenset[str]) -> str:
    """Return ``text`` without the lines that are page furniture."""
    if not furniture:
        return text
    return "\n".join(line for line in text.split("\n") if normalise_text(line) not in furniture).strip()


_NO_ANSWER = re.compile(
    r"(?i)^(?:tbd|tba|todo|n ?a|none|null|nan|unknown|pending|see above|待定|暂无|待补充|待确认|同上|未知)?$"
)
_ASKS = re.compile(
    r"(?i)[?？]|^(?:who|whom|whose|what|when|where|which|why|how|can|could|would|will|do|does|did|is|are|may|should|shall"
    r"|must|have|has)\b|\b(?:tell me|let me know|want to|wish to|would like|i'd like|i need|looking for|looking to"
    r"|wondering|want the|need to|please (?:send|give|name|state|say|explain|confirm)|how (?:much|many|long|do|can)"
    r"|what is|help me)\b"
    r"|吗|呢|什么|怎么|怎样|如何|哪|几|多少|谁|是否|能否|能不能|可不可以"
    r"|请问|想知道|想了解|想问|告诉|咨询|为何|为什么|啥|麻烦"
)
_TELLS = re.compile(
    r"(?i)[\d%@]|https?:|\bwww\.|\b(?:you (?:can|may|must|need|should|will)|please (?!hold|wait)\w+"
    r"|it (?:is|costs|takes)|there (?:is|are))\b"
    r"|可以|需要|必须|应当|请(?:拨打|携带|到|前往|登录|点击|联系|提供|填写|使用|在|通过|先)|因为|由于"
)
_CHAT = re.compile(
    r"(?i)^(?:(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|thanks?|thank you|thx|cheers|bye|goodbye"
    r"|ok|okay|great|fine|yes|no|perfect|lovely|super|sure|alright|right|got it|i see|how are you|are you there"
    r"|anyone there|see you|take care|have a \w+ \w+"
    r"|so much|very much|a lot|there|for now|that is all|that's all|for (?:your|the) help|you too|again"
    r"|您好|你好|早上好|上午好|下午好|晚上好|谢谢|多谢|感谢|再见|拜拜|好的|嗯|是的|不用了|没有了"
    r"|在吗|有人吗|您|你|了|啊|吧|哦)[\s,.!?，。！？～~、]*)+$"
)
_FOLLOW_UP = re.compile(
    r"(?i)^(?:and|what about|how about|also|or|then)\b[^?？]{0,30}[?？]?$|^(?:那|那么|还有).{0,8}呢[?？]?$"
)
_YES_NO = re.compile(r"^(?:yes|no|是的?|不是|对|可以|不可以|不能|没有)$")
_TELLING = frozenset({"Sm", "So"})  # signs that are answers by themselves: ticks, stars, +, ∞
MAX_QUESTION, MAX_ANSWER = 2_000, 4_000


def worthless(question: str, answer: str, talk: bool) -> str:
    """Return why a pair teaches nothing (a reason of ``report.DROPS``), or nothing if it may.

    ``talk``: it comes from a conversation, where greetings, thanks and identity checks stand between the questions.
    There a turn that asks nothing is kept only if the answer tells something: a figure, a name, an instruction, or a
    word of the question taken up again.
    """
    asked, said = normalise_text(question), normalise_text(answer)
    if not any(char.isalpha() for char in asked):
        return "no_question"
    if _NO_ANSWER.match(said) and (said or not any(unicodedata.category(char) in _TELLING for char in answer)):
        return "no_answer"
    if len(question) > MAX_QUESTION or len(answer) > MAX_ANSWER:
        return "too_long"
    if asked == said:
        return "echo"
    return _empty_talk(question, answer, asked, said) if talk else ""


def _empty_talk(question: str, answer: str, asked: str, said: str) -> str:
    asks = _ASKS.search(question) is not None
    if _CHAT.match(question[:200]) or (_CHAT.match(answer[:200]) and not (asks and _YES_NO.match(said))):
        return "small_talk"
    if _FOLLOW_UP.match(question):
        return "needs_context"
    if asks:
        return ""
    names = re.search(r"(?<![.!?] )(?<!^)\b[A-Z](?!')[a-z]", answer)
    if _TELLS.search(answer) or names or len(said) >= 120 or (len(said) >= 24 and language(answer) == "zh"):
        return ""
    if re.search(r"\[[A-Z]+\]", question):
        return "personal_only"
    shared = {word for word in asked.split() if len(word) > 3} & set(said.split())
    if language(question) == "zh":
        shared = {asked[i : i + 2] for i in range(len(asked) - 1)} & {said[i : i + 2] for i in range(len(said) - 1)}
    return "" if shared else "small_talk"
