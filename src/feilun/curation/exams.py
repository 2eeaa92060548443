"""Exams: read from an organisation's own exam file, or held out of its pairs.

This module knows which questions test a fact and what a right answer must contain. It does not know models or scores.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

from feilun.curation.clean import clean_text, language
from feilun.curation.conflicts import Near
from feilun.curation.documents import MAX_ROWS, Block, Document
from feilun.curation.readers.text import decode
from feilun.errors import TooFewSamples
from feilun.records import EvalItem, Record, derived_id, normalise_text
from feilun.signs import signed

_NAME = re.compile(r"(?i)(?:.*[^a-z])?exams?(?:[^a-z].*)?\.(?:jsonl|csv|xlsx)|.*(?:考题|考试).*\.(?:jsonl|csv|xlsx)")
_QUESTION = {"question", "q", "prompt", "问题", "题目", "考题"}
_ACCEPT = {"accept", "accepted", "answer", "answers", "keys", "expected", "a", "答案", "标准答案", "接受"}
_REJECT = {"reject", "rejected", "wrong", "not", "拒绝", "错误"}
_TOKEN = re.compile(
    r"[\u3400-\u9fff]|\d+(?:[.,:/-]\d+)*|[^\W\d_\u3400-\u9fff][^\W_\u3400-\u9fff]*(?:['’-][^\W_\u3400-\u9fff]+)*"
)
_HAN = re.compile(r"[\u3400-\u9fff]")
# Words at the edges of a Chinese key that say nothing.
_EDGES = re.compile("^(?:名叫|名为|叫做|是|为|由|在|叫|每|需|有|到|从)+|(?:负责|举行|办理|提供|进行|开放|的|了)+$")


def is_exam(name: str) -> bool:
    """Tell whether a file is an exam by its name: ``exam*`` (or 考题, 考试) as JSONL, CSV or XLSX."""
    return _NAME.fullmatch(PurePosixPath(name).name) is not None


def parse_exam(document: Document) -> list[EvalItem]:
    """Return the items of an exam file, each question once: columns question and accept (several after ``|``), reject.

    An item needs accepted words or refused ones; others are left out.
    """
    items: dict[str, EvalItem] = {}
    for block in document.blocks:
        rows = block.rows
        columns: dict[str, int] = {}
        for index, row in enumerate(rows[:10]):
            titles = [normalise_text(cell) for cell in row]
            columns = {
                role: next(i for i, title in enumerate(titles) if title in words)
                for role, words in (("question", _QUESTION), ("accept", _ACCEPT), ("reject", _REJECT))
                if any(title in words for title in titles)
            }
            if {"question", "accept"} <= columns.keys():
                rows = rows[index + 1 :]
                break
        else:
            continue
        for row in rows:
            cells = {role: row[i] if i < len(row) else "" for role, i in columns.items()}
            _add(items, cells["question"], _words(cells["accept"]), _words(cells.get("reject", "")))
    return list(items.values())


def read_exam_lines(data: bytes, notes: list[str]) -> list[Block]:
    """Return a JSONL exam as a table: objects with question, accept (or answer) and reject, as text or lists."""
    rows: list[tuple[str, ...]] = []
    lines = [line for line in decode(data).splitlines() if line.strip()]
    for line in lines[:MAX_ROWS]:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            given = {str(key).strip().casefold(): item for key, item in value.items()}
            wanted = (_QUESTION, _ACCEPT, _REJECT)
            cells = [next((given[key] for key in given if key in words), "") for words in wanted]
            rows.append(tuple("|".join(_words(cell)) for cell in cells))
    if len(rows) < len(lines):
        notes.append(f"{len(lines) - len(rows)} lines hold no exam question")
    return [Block("table", rows=(("question", "accept", "reject"), *rows))]


def _add(items: dict[str, EvalItem], question: str, accept: tuple[str, ...], reject: tuple[str, ...]) -> None:
    question = clean_text(question)
    key = signed(question)
    if key and (accept or reject) and key not in items:
        meta = {"lang": language(question)}
        items[key] = EvalItem(derived_id("item", question, list(accept), list(reject)), question, accept, reject, meta)


def _words(given: Any) -> tuple[str, ...]:
    parts = given if isinstance(given, (list, tuple)) else [given]
    words = (clean_text(word) for part in parts for word in re.split(r"[|｜]", str(part)))
    return tuple(dict.fromkeys(word for word in words if word))


def holdout(records: Sequence[Record], minimum: int = 20) -> tuple[list[Record], list[EvalItem]]:
    """Return (records left for training, exam items): one wording of every fact that has three or more is held out.

    Which one depends only on the records. Records that ask nearly the same as a held-out question (trigram Jaccard
    ≥ 0.9) leave the training too. Raises TooFewSamples for fewer than ``minimum`` items.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.kind == "chat":
            groups[str(record.meta.get("group", ""))].append(record)
    keys = Keys(record for record in records if record.kind == "chat")
    items: list[EvalItem] = []
    held: set[str] = set()
    for group in sorted(name for name, members in groups.items() if name and len(members) >= 3):
        # Asked by users is nearest to what will be asked; feedback must be learned, so it is never held out.
        choice = [r for r in groups[group] if r.meta.get("origin") != "feedback"]
        if not choice:
            continue
        record = min(choice, key=lambda r: derived_id("order", r.id))
        question, answer = question_of(record), answer_of(record)
        accept = keys.of(record)
        meta = {
            "group": group,
            "lang": record.meta.get("lang", "en"),
            "sources": list(record.sources),
            "answer": answer,
        }
        items.append(EvalItem(derived_id("item", question, list(accept), []), question, accept, (), meta))
        held.add(record.id)
    if len(items) < minimum:
        raise TooFewSamples(
            f"An exam needs at least {minimum} facts that are asked in three wordings; the data has {len(items)}.",
            "Ask each fact in three wordings or more, or add a file exam.csv with the columns question and accept.",
        )
    near = Near([item.question for item in items], 0.9)
    train = [r for r in records if r.id not in held and (r.kind != "chat" or near.find(question_of(r)) is None)]
    return train, items


def question_of(record: Record) -> str:
    """Return the user's message of a chat record."""
    return next((str(m["content"]) for m in record.messages if m["role"] == "user"), "")


def answer_of(record: Record) -> str:
    """Return the assistant's message of a chat record."""
    return next((str(m["content"]) for m in record.messages if m["role"] == "assistant"), "")


class Keys:
    """Finds the words of an answer by which it is known: in no other fact's answer, and in none of its questions."""

    def __init__(self, records: Iterable[Record]) -> None:
        """Count in how many groups' answers each token and each pair of tokens occurs; note what each group asks."""
        answers: dict[str, str] = {}
        self._asked: dict[str, set[str]] = defaultdict(set)
        for record in records:
            group = str(record.meta.get("group", ""))
            answers.setdefault(group, answer_of(record))
            self._asked[group].update(_plain(question_of(record)))
        self._groups: Counter[str] = Counter()
        for answer in answers.values():
            tokens = _plain(answer)
            self._groups.update({*tokens, *map(" ".join, itertools.pairwise(tokens))})

    def of(self, record: Record) -> tuple[str, ...]:
        """Return what a right answer contains; one text, so that an answer cannot be right by half.

        Tried in turn: a figure with the name beside it, a name, any other words, Chinese characters; each only if no
        other fact's answer and no question of this fact has it. If nothing is left, the whole normalised answer.
        """
        answer = answer_of(record)
        found = list(_TOKEN.finditer(answer))
        asked = self._asked[str(record.meta.get("group", ""))]
        fresh = [_fold(match[0]) not in asked for match in found]
        single = [new and self._groups[_fold(m[0])] <= 1 for new, m in zip(fresh, found, strict=True)]
        figure = [new and m[0][0].isdigit() for new, m in zip(fresh, found, strict=True)]
        name = [new and m[0][0].isupper() and m.start() > 0 for new, m in zip(fresh, found, strict=True)]
        han = [_HAN.match(m[0]) is not None for m in found]
        code = [new and any(map(str.isdigit, m[0])) for new, m in zip(fresh, found, strict=True)]
        wanted: list[tuple[list[bool], list[bool]]] = [
            ([f or n or c for f, n, c in zip(figure, name, code, strict=True)], [*map(max, figure, code)]),
            (name, name),
            ([s and not h and len(m[0]) > 3 for s, h, m in zip(single, han, found, strict=True)], single),
            ([new and h for new, h in zip(fresh, han, strict=True)], han),
        ]
        for allowed, needed in wanted:
            spans = [span for span in _spans(allowed) if any(needed[i] for i in span) and self._distinct(found, span)]
            if spans:
                best = max(spans, key=len)
                text = answer[found[best[0]].start() : found[best[-1]].end()]
                key = _EDGES.sub("", text) if _HAN.match(text) else text
                return (key or text,)
        return (normalise_text(answer),)

    def _distinct(self, found: list[re.Match[str]], span: list[int]) -> bool:
        """Tell whether a token of the span, or two neighbours in it, are in no other fact's answer."""
        tokens = [_fold(found[i][0]) for i in span]
        return any(self._groups[part] <= 1 for part in (*tokens, *map(" ".join, itertools.pairwise(tokens))))


def _fold(token: str) -> str:
    return normalise_text(token)


def _plain(text: str) -> list[str]:
    return [_fold(match[0]) for match in _TOKEN.finditer(text)]


def _spans(marks: Sequence[bool]) -> list[list[int]]:
    """Return the runs of neighbouring marked positions."""
    groups = itertools.groupby(range(len(marks)), key=lambda i: marks[i])
    return [list(group) for marked, group in groups if marked]
