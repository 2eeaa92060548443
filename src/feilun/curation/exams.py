"""Exams: read from an organisation's own exam file, or held out of its pairs.

This module knows which questions test a fact and what a right answer must contain. It does not know models or scores.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

from feilun.curation.clean import clean_text, language
from feilun.curation.conflicts import Near
from feilun.curation.documents import MAX_ROWS, Block, Document
from feilun.curation.read_text import decode
from feilun.errors import TooFewSamples
from feilun.records import EvalItem, Record, derived_id, normalise_text

_NAME = re.compile(r"(?i)(?:.*[^a-z])?exams?(?:[^a-z].*)?\.(?:jsonl|csv|xlsx)|.*(?:考题|考试).*\.(?:jsonl|csv|xlsx)")
_QUESTION = {"question", "q", "prompt", "问题", "题目", "考题"}
_ACCEPT = {"accept", "accepted", "answer", "answers", "keys", "expected", "a", "答案", "标准答案", "接受"}
_REJECT = {"reject", "rejected", "wrong", "not", "拒绝", "错误"}
_TOKEN = re.compile(r"[\u3400-\u9fff]|\d+(?:[.,:/-]\d+)*|[^\W\d_\u3400-\u9fff][^\W_\u3400-\u9fff]*(?:['’-]\w+)*")
_HAN = re.compile(r"[\u3400-\u9fff]")
LONGEST_KEY = 4


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
    key = normalise_text(question)
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
    """Finds the words of an answer by which it is known: in no other fact's answer, and not in its question."""

    def __init__(self, records: Iterable[Record]) -> None:
        """Count in how many groups each run of up to four tokens occurs."""
        answers = {str(record.meta.get("group", "")): answer_of(record) for record in records}
        self._groups: Counter[str] = Counter()
        for answer in answers.values():
            self._groups.update({run for run, _, _ in _runs(answer)})

    def of(self, record: Record) -> tuple[str, ...]:
        """Return what a right answer contains: the shortest distinctive run, best one with a figure or a name.

        Two words of one name are one run, so both are asked for. The whole normalised answer if nothing is distinctive.
        """
        question = {run for run, _, _ in _runs(question_of(record))}
        answer = answer_of(record)
        runs = [
            (run, shown, marked)
            for run, shown, marked in _runs(answer)
            if self._groups[run] <= 1 and run not in question
        ]
        asked = set(normalise_text(question_of(record)).split())
        marked = [(run, shown) for run, shown, mark in runs if mark and not set(run.split()) & asked]
        if not marked:
            fresh = "".join(char for char in answer if _HAN.match(char) and char not in question_of(record))
            if len(fresh) >= 2 and fresh in answer and self._groups[" ".join(fresh)] <= 1:
                return (fresh,)
            return (normalise_text(answer),)
        names = [(run, shown) for run, shown in marked if not any(char.isdigit() for char in run)]
        figures = [pair for pair in marked if pair not in names]
        chosen = min(figures or names, key=lambda pair: len(pair[0].split()))
        if not figures:
            # The longest run of capitals that begins with the shortest one: a whole name rather than half of it.
            chosen = max((pair for pair in names if _all_names(pair[1])), key=lambda p: len(p[1]), default=chosen)
        return (chosen[1],)


def _all_names(shown: str) -> bool:
    return all(word[:1].isupper() for word in shown.split())


def _runs(text: str) -> list[tuple[str, str, bool]]:
    """Return (normalised, as written, has a figure or a name) of all runs of one to four tokens."""
    found = list(_TOKEN.finditer(text))
    runs = []
    for start in range(len(found)):
        for length in range(1, LONGEST_KEY + 1):
            part = found[start : start + length]
            if len(part) < length:
                break
            shown = text[part[0].start() : part[-1].end()]
            if re.search(r"[。！？!?;；\n]", shown):
                break
            ends = (part[0], part[-1])
            marked = all(m[0][0].isdigit() or (m[0][0].isupper() and m.start() > 0) for m in ends)
            runs.append((" ".join(normalise_text(m[0]) for m in part), shown, marked))
    return runs
