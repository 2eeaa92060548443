"""Blocks -> questions with their answers, and the prose that is left.

This module knows how people write questions and answers down: tables, ``Q:``/``A:`` lines, headings that ask,
transcripts, chats. It does not know which of them are good, new or permitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from feilun.curation.clean import age_of, clean_text, date_in, old_status, version_in, without_boilerplate
from feilun.curation.documents import Block, Document
from feilun.records import normalise_text
from feilun.signs import compared

_compared = lru_cache(maxsize=1 << 16)(compared)
_QUESTION = (
    r"questions?|q|query|queries|prompt|faqs?|enquiry|inquiry|request|message|问题|问|提问|咨询|题目|常见问题|来信|留言"
)
_ANSWER = r"answers?|a|response|reply|replies|completion|resolution|solution|答案|答|回答|回复|答复|解答|处理结果"
_OWNER = r"(?:(?:customer|member|client|user|frequent|staff|agent|standard|客户|会员|用户|标准|坐席|客服)\s*)?"
_HEADS = {
    "question": re.compile(
        rf"{_OWNER}(?:{_QUESTION})(?:\s*(?:text|内容))?\s*(?P<rest>en|zh|english|chinese|\d+|英文|中文)?"
    ),
    "answer": re.compile(
        rf"{_OWNER}(?:{_ANSWER})(?:\s*(?:text|内容))?\s*(?P<rest>en|zh|english|chinese|\d+|英文|中文)?"
    ),
    "topic": re.compile(r"topic|category|section|department|subject|主题|类别|分类|类目|话题|栏目"),
    "status": re.compile(r"status|state|状态"),
    "date": re.compile(
        r"date|day|(?:last )?updated?|effective(?: date| from)?|valid from|as of|(?:生效|更新|修订)?(?:日期|时间)"
    ),
    "version": re.compile(r"version|ver|revision|版本"),
    "person": re.compile(
        r"(?:member|customer|client|patient|caller|user|sender)(?: name)?|(?:full )?name"
        r"|(?:客户|会员|用户|社员)?姓名|客户|会员"
    ),
    "contact": re.compile(
        r"e ?mail(?: address)?|phone(?: number)?|telephone|mobile|电话|手机号?|邮箱|电子邮件|身份证号?"
    ),
}
_CLIENT = (
    r"member|customer|user|client|caller|visitor|guest|patient|citizen"
    r"|客户|用户|会员|社员|顾客|来电人|访客|患者|市民|咨询人|储户"
)
_STAFF = (
    r"agent|advis[eo]r|support|assistant|staff|representative|rep|operator|clerk|teller|service desk|desk|bot"
    r"|坐席|座席|客服|柜员|工作人员|顾问|专员|助手|经办人?|客户经理"
)
_TIME = r"(?:[\[(]?(?:\d{4}-\d\d-\d\d[T ])?\d{1,2}[:：]\d\d(?:[:：]\d\d)?(?:\s*[AaPp]\.?[Mm]\.?)?[\])]?\s*[-–|]?\s*)?"
_SPEAKER = re.compile(
    rf"(?i)^[\s>*-]*+{_TIME}\**\s*(?:(?P<before>[\w .'·-]{{1,40}}?)\s*[(（]\s*)?(?:(?P<client>{_CLIENT})"
    rf"|(?P<staff>{_STAFF}))"
    r"(?:\s*[)）]|\s*[(（]\s*(?P<name>[^()（）]{1,40})[)）]|\s*#?\d{1,6}|(?P<after>\s+[\w.'·-]{1,20}(?:\s[\w.'·-]{1,20})?"
    r"|[\u4e00-\u9fa5]{1,4}))?\s*\**\s*[:：]\s*\**\s*(?P<text>.*)$"
)
_Q_LINE = re.compile(
    r"(?i)^[\s>*#_-]*+(?:(?:q|question|问题?|提问)\s*\d{0,4}\s*[:：]|(?:q|问题?)\s*\d{1,4}\s*[.、)）])[\s*_]*(?P<text>.*)$"
)
_A_LINE = re.compile(
    r"(?i)^[\s>*#_-]*+(?:(?:a|answer|答案?|回答|答复)\s*\d{0,4}\s*[:：]|(?:a|答)\s*\d{1,4}\s*[.、)）])[\s*_]*(?P<text>.*)$"
)
_BREAK = re.compile(r"^\s*([=\-*_~#])\1{2,}")
_BOLD_QUESTION = re.compile(r"^\s*\*\*(?P<text>[^*]{4,300}[?？])\*\*\s*$")
_LIST = re.compile(r"^\s*(?:[-*+•·]\s*\S|\d{1,3}(?:[.)]\s|、)\s*\S)")
_HEADER_ROWS = 10
_LANGUAGES = {"english": "en", "英文": "en", "chinese": "zh", "中文": "zh"}


@dataclass(frozen=True, slots=True)
class Age:
    """How new something is: stated days count more than file days, then the day, then the version."""

    stated: bool = False
    day: str = ""
    version: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and its answer as found. ``private``: of a conversation or of a table about people, hence masked.

    ``old``: marked as superseded where it stood. ``people``: names that its place tells (labels, name columns).
    """

    question: str
    answer: str
    sources: tuple[str, ...]
    name: str = ""
    place: str = ""
    topic: str = ""
    kind: Literal["table", "lines", "talk", "feedback"] = "lines"
    private: bool = False
    age: Age = Age()
    old: bool = False
    people: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What two pairs have in common that say the same: question and answer but for marks, case and width."""
        return _compared(self.question), _compared(self.answer)


@dataclass(slots=True)
class Extract:
    """What one document holds: pairs in reading order, and the prose and plain tables that are no pairs."""

    pairs: list[Pair] = field(default_factory=list)
    prose: list[Block] = field(default_factory=list)
    old: bool = False
    people: tuple[str, ...] = ()


def first_lines(document: Document, number: int = 15) -> list[str]:
    """Return the first lines of a document, where marks of age stand."""
    lines: list[str] = []
    for block in document.blocks:
        if len(lines) >= number:
            break
        lines.append(block.heading)
        lines.extend(block.text[:5000].splitlines())
    return [line for line in lines if line.strip()][:number]


def extract(document: Document, furniture: frozenset[str] = frozenset()) -> Extract:
    """Return the pairs and the prose of a document; ``furniture`` are normalised lines to be left out."""
    old, day, version = age_of(document.name, first_lines(document))
    found = Extract(old=old)
    age = Age(bool(day), day or document.modified, version)
    base = Pair("", "", (document.source,), document.name, age=age, old=old)
    people: set[str] = set()
    for block in document.blocks:
        at = replace(base, place=block.place, topic=block.heading)
        if block.kind == "turns":
            found.pairs.extend(_from_turns(block, replace(at, kind="talk", private=True)))
        elif block.kind == "pair":
            found.pairs.extend(_from_turns(block, replace(at, kind="table")))
        elif block.kind == "table":
            pairs = list(_from_table(block, replace(at, kind="table")))
            found.pairs.extend(pairs)
            if not pairs:
                found.prose.append(block)
        else:
            text = without_boilerplate(clean_text(block.text), furniture)
            _from_text(replace(block, text=text, heading=clean_text(block.heading[:500])), at, found, people)
    if people:
        found.people = tuple(sorted(people))
        found.pairs = [replace(p, people=found.people) if p.private else p for p in found.pairs]
    return found


def _roles(row: tuple[str, ...]) -> dict[str, list[tuple[int, str]]]:
    """Return role -> [(column, rest of the name)] of a table row taken as its header."""
    roles: dict[str, list[tuple[int, str]]] = {}
    for column, cell in enumerate(row):
        title = normalise_text(clean_text(cell[:80]))
        for role, pattern in _HEADS.items():
            match = pattern.fullmatch(title)
            if match:
                rest = match.groupdict().get("rest") or ""
                roles.setdefault(role, []).append((column, _LANGUAGES.get(rest, rest)))
                break
    return roles


def header(rows: tuple[tuple[str, ...], ...]) -> tuple[int, dict[str, list[tuple[int, str]]]]:
    """Return (index of the row below the header, its roles); (0, {}) if no header has a question and an answer."""
    for index, row in enumerate(rows[:_HEADER_ROWS]):
        roles = _roles(row)
        if "question" in roles and "answer" in roles:
            return index + 1, roles
    return 0, {}


def people_in(rows: tuple[tuple[str, ...], ...]) -> list[str]:
    """Return the names in a table that lists people with their contacts; nothing for any other table."""
    for index, row in enumerate(rows[:_HEADER_ROWS]):
        roles = _roles(row)
        if "person" in roles and "contact" in roles:
            columns = [column for column, _ in roles["person"]]
            return [below[column] for below in rows[index + 1 :] for column in columns if column < len(below)]
    return []


def is_labelled(line: str) -> bool:
    """Tell whether a line begins with the label of a question, an answer or a speaker."""
    return any(pattern.match(line) for pattern in (_Q_LINE, _A_LINE, _SPEAKER, _BOLD_QUESTION))


def _from_table(block: Block, base: Pair) -> Iterator[Pair]:
    start, roles = header(block.rows)
    if not roles:
        return
    answers = {rest: column for column, rest in reversed(roles["answer"])}
    columns = [(q, answers.get(rest, roles["answer"][0][0])) for q, rest in roles["question"]]
    people = [column for column, _ in roles.get("person", [])]
    private = bool(people or "contact" in roles)
    where = f"{block.place} " if block.place else ""

    def cell(row: tuple[str, ...], role: str) -> str:
        return next((row[column] for column, _ in roles.get(role, []) if column < len(row)), "")

    for number, row in enumerate(block.rows[start:], start + 1):
        if not any(row):
            continue
        day = date_in(cell(row, "date"))
        version = version_in("v" + cell(row, "version")) or base.age.version
        stated = Age(True, day, version) if day else replace(base.age, version=version)
        for q, a in columns:
            question, answer = (row[column] if column < len(row) else "" for column in (q, a))
            if question or answer:
                yield replace(
                    base,
                    question=clean_text(question),
                    answer=clean_text(answer),
                    place=f"{where}row {number}",
                    topic=clean_text(cell(row, "topic")) or base.topic,
                    private=private,
                    age=stated,
                    old=base.old or old_status(cell(row, "status")),
                    people=tuple(row[column] for column in people if column < len(row) and row[column]),
                )


def _from_turns(block: Block, base: Pair) -> Iterator[Pair]:
    """Join neighbouring turns of one speaker; yield each question with the answer that follows it.

    An answer that nobody should learn (``context``) takes its question with it.
    """
    written = base.kind != "talk"
    age = (
        Age(written, block.day, base.age.version)
        if block.day
        else replace(base.age, stated=base.age.stated and written)
    )
    question, answer = "", ""
    for role, text in ((role, clean_text(text)) for role, text in (*block.turns, ("user", ""))):
        if role == "user":
            if question and answer:
                yield replace(base, question=question, answer=answer, age=age)
            question = text if answer else _joined(question, text)
            answer = ""
        elif role == "context":
            question, answer = "", ""
        elif question:
            answer = _joined(answer, text)


def _joined(before: str, after: str) -> str:
    """Join two pieces of one utterance: list items keep their line, Chinese needs no space."""
    if not before or not after:
        return before or after
    if _LIST.match(after):
        return f"{before}\n{after}"
    both_han = all("\u3000" <= char <= "\u9fff" or "\uff00" <= char <= "\uffef" for char in before[-1] + after[0])
    return before + after if both_han else f"{before} {after}"


def _from_text(block: Block, base: Pair, found: Extract, people: set[str]) -> None:
    """Add the pairs of a text block to ``found``, and what is no pair as prose."""
    lines = block.text.split("\n")
    speakers = [_SPEAKER.match(line) for line in lines]
    talk = [m for m in speakers if m]
    if any(m["client"] for m in talk) and any(m["staff"] for m in talk):
        found.pairs.extend(_from_talk(lines, speakers, replace(base, kind="talk", private=True), people))
        return
    rest = lines
    if any(_Q_LINE.match(line) or _BOLD_QUESTION.match(line) for line in lines):
        pairs, rest = _from_lines(lines, base)
        found.pairs.extend(pairs)
    elif re.search(r"[?？]\W*$", block.heading) and block.text.strip():
        question = re.sub(r"^\d+[.)、\s]+", "", _plain(block.heading))
        found.pairs.append(replace(base, question=question, answer=_paragraph(lines), topic=""))
    text = "\n".join(rest).strip()
    if text:
        found.prose.append(replace(block, text=text))


def _from_talk(lines: list[str], speakers: list[re.Match[str] | None], base: Pair, people: set[str]) -> Iterator[Pair]:
    """Yield the pairs of a transcript; a line of marks or a date starts a new conversation."""
    turns: list[tuple[str, str]] = []
    day, start = "", 1

    def close() -> Iterator[Pair]:
        block = Block("turns", turns=tuple(turns), day=day)
        yield from _from_turns(block, replace(base, place=base.place or f"line {start}"))
        turns.clear()

    open_turn = False
    for number, (line, match) in enumerate(zip(lines, speakers, strict=True), 1):
        if match:
            named = match["name"] or match["before"] or (match["after"] or "").strip()
            if named and not re.fullmatch(r"[\d #.-]+", named):
                people.add(named.strip())
            turns.append(("user" if match["client"] else "assistant", match["text"]))
            open_turn = True
        elif _BREAK.match(line) or (not open_turn and date_in(line)):
            yield from close()
            day, start, open_turn = date_in(line), number + 1, False
        elif not line.strip():
            open_turn = False
        elif open_turn and turns:
            turns[-1] = (turns[-1][0], _joined(turns[-1][1], line))
    yield from close()


def _from_lines(lines: list[str], base: Pair) -> tuple[list[Pair], list[str]]:
    """Return the pairs of ``Q:``/``A:`` lines, and the lines that belong to none.

    Where a question has no line marked as answer before the next question, the paragraph below it is the answer.
    """
    pairs: list[Pair] = []
    rest: list[str] = []
    starts = [i for i, line in enumerate(lines) if _Q_LINE.match(line) or _BOLD_QUESTION.match(line)]
    rest.extend(lines[: starts[0]])
    waiting: list[str] = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        match = _Q_LINE.match(lines[start]) or _BOLD_QUESTION.match(lines[start])
        question = _plain(match["text"]) if match else ""
        body = lines[start + 1 : end]
        mark = next((i for i, line in enumerate(body) if _A_LINE.match(line)), None)
        if mark is None:
            first = next((i for i, line in enumerate(body) if line.strip()), len(body))
            answer_lines = body[first:]
            if not question:
                question, answer_lines = _plain(_paragraph(answer_lines)), []
        else:
            for line in body[:mark]:
                question = _joined(question, _plain(line)) if line.strip() else question
            label = _A_LINE.match(body[mark])
            answer_lines = body[mark + 1 :]
            if label and label["text"].strip():
                answer_lines = [label["text"], *answer_lines]
        answer_lines = _lstrip(answer_lines)
        answer = _plain(_paragraph(answer_lines))
        rest.extend(answer_lines[_paragraph_length(answer_lines) :])
        waiting.append(question)
        if answer or end == len(lines):
            place = base.place or f"line {start + 1}"
            pairs.extend(replace(base, question=q, answer=answer, place=place) for q in waiting)
            waiting = []
    return pairs, rest


def _lstrip(lines: list[str]) -> list[str]:
    first = next((i for i, line in enumerate(lines) if line.strip()), len(lines))
    return lines[first:]


def _paragraph_length(lines: list[str]) -> int:
    """Return how many lines the first paragraph has, lists that follow it included."""
    length = 0
    for index, line in enumerate(lines):
        if line.strip():
            if length < index and not _LIST.match(line):
                break
            length = index + 1
    return length


def _paragraph(lines: list[str]) -> str:
    lines = _lstrip(lines)
    text = ""
    for line in lines[: _paragraph_length(lines)]:
        text = _joined(text, line.strip())
    return text


def _plain(text: str) -> str:
    """Return a line without Markdown emphasis at its ends."""
    return text.lstrip(" \t*_#>").rstrip(" \t*_")
