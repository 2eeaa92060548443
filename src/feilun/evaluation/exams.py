"""Read exams from JSON lines, and prove that their wordings occur nowhere in training.

One line is one question: ``{"id": "q1", "question": "…", "accept": ["…"], "reject": [], "fact": "…", "lang": "en"}``.
This module knows that form. It does not know where exams are kept or who sits them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from feilun.errors import BadRequest
from feilun.evaluation.scoring import tokens
from feilun.records import JSON, Eval, EvalItem, derived_id, normalise_text
from feilun.signs import signed

_FIELDS = {"id", "question", "accept", "reject", "fact", "lang", "topic"}


def load_exam(path: Path, workspace: str, name: str) -> Eval:
    """Return the exam in a UTF-8 JSON lines file; raise BadRequest that lists what is wrong on which line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadRequest(f"The exam {path} cannot be read: {error.strerror}.", "Give a JSON lines file.") from error
    except UnicodeDecodeError as error:
        raise BadRequest(f"The exam {path} is not UTF-8 text.", "Save it as UTF-8.") from error
    return parse_exam(text, workspace, name)


def parse_exam(text: str, workspace: str, name: str) -> Eval:
    """Return the exam in ``text``. The same questions give the same ids.

    Raises BadRequest that lists all mistakes with their line numbers: malformed JSON, missing, unknown or mistyped
    fields, duplicate ids, questions that are the same but for case, width and marks, and an empty exam.
    """
    items: list[EvalItem] = []
    mistakes: list[str] = []
    seen: dict[str, int] = {}
    # Not splitlines(): JSON texts may hold U+2028 unescaped.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            item = _item(line, workspace, name)
        except BadRequest as error:
            mistakes.append(f"line {number}: {error.message}")
            continue
        for what, key in (("id", f"id {item.meta['key']}"), ("question", f"question {signed(item.question)}")):
            if first := seen.get(key):
                mistakes.append(f"line {number}: the same {what} as line {first}")
            seen.setdefault(key, number)
        items.append(item)
    if not items and not mistakes:
        mistakes.append("it has no question")
    if mistakes:
        raise BadRequest(f"The exam {name} cannot be used: " + "; ".join(mistakes) + ".", "Mend these lines.")
    return Eval(derived_id("eval", workspace, name, [item.id for item in items]), workspace, name, tuple(items))


def _item(line: str, workspace: str, name: str) -> EvalItem:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadRequest(f"not JSON ({error})") from error
    if not isinstance(row, dict):
        raise BadRequest("not a JSON object")
    if unknown := sorted(row.keys() - _FIELDS):
        raise BadRequest(f"unknown field {', '.join(unknown)}")
    question = row.get("question")
    if not isinstance(question, str) or not normalise_text(question):
        raise BadRequest("question must be a text")
    for field in row.keys() & {"id", "fact", "lang", "topic"}:
        if not isinstance(row[field], str) or not row[field]:
            raise BadRequest(f"{field} must be a text")
    accept, reject = _texts(row, "accept"), _texts(row, "reject")
    if not accept:
        raise BadRequest("accept must hold at least one text")
    key = row.get("id", question)
    meta: JSON = {"key": key} | {field: row[field] for field in ("fact", "lang", "topic") if field in row}
    return EvalItem(derived_id("item", workspace, name, key, question, accept, reject), question, accept, reject, meta)


def _texts(row: dict[str, Any], field: str) -> tuple[str, ...]:
    value = row.get(field, [])
    if not isinstance(value, list) or not all(isinstance(text, str) and tokens(text) for text in value):
        raise BadRequest(f"{field} must be a list of texts that hold a word or a number")
    return tuple(value)


def check_unseen(items: Sequence[EvalItem], training_questions: Iterable[str]) -> list[EvalItem]:
    """Return the items whose wording occurs in training (equal after ``signed``); none is the proof."""
    trained = {signed(question) for question in training_questions}
    return [item for item in items if signed(item.question) in trained]
