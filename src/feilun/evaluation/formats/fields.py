"""Which field of a row is its question, its options, its answer: by name and by look, in English and Chinese.

This module knows names and shapes that exams use. It does not know graders or exams of ours.
"""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from feilun.records import JSON

QUESTION = (
    *("question", "query", "prompt", "problem", "stem", "input", "instruction", "text", "sentence", "ctx", "goal"),
    *("题目", "问题", "题干", "試題", "试题", "問題", "題目", "question_text", "problem_description"),
)
CHOICES = (
    "choices",
    "options",
    "candidates",
    "endings",
    "mc1_targets",
    "option",
    "alternatives",
    "选项",
    "選項",
    "answers",
)
GOLD = (
    *("answer", "label", "answerkey", "answer_key", "target", "gold", "correct", "correct_answer", "correct_option"),
    *("correct_choice", "correct_index", "answer_idx", "answer_index", "right_answer", "cop", "key", "solution_index"),
    *(
        "gold_index",
        "labels",
        "correct_label",
        "ground_truth",
        "答案",
        "正确答案",
        "正確答案",
        "参考答案",
        "標準答案",
        "标准答案",
    ),
)
REFERENCE = (
    *("answers", "reference", "references", "expected", "expected_output", "expected_answer", "ideal", "output"),
    *("response", "completion", "final_answer", "gold_answer", "reference_answer"),
    *("human_answer", "best_answer", "golden_answer", "solution", "accept"),
)
ACCEPT = ("accept", "accepted", "接受")
REJECT = ("reject", "rejected", "拒绝")
PASSAGE = ("passage", "context", "article", "background", "support", "paragraph", "document", "材料", "文章", "背景")
TOPIC = ("topic", "subject", "category", "domain", "task", "type", "科目", "学科", "类别", "類別")
IDS = ("id", "key", "qid", "uid", "question_id", "task_id", "idx", "编号")
LETTERS = "ABCDEFGHIJ"
_LETTERED = re.compile(
    r"^(?:option|opt|choice|answer|选项|選項|ending|ops?|ans|mc_answer|incorrect_answer|distractor)?[\s_.\-]*([a-j]|\d)\.?$",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^\s*[(（\[]?\s*([A-Ja-j])\s*[)）\].、．:：]\s*")
_BETWEEN = re.compile(r"[\s,、;()\[\].。&/+\"']|\band\b|[和与與及]", re.IGNORECASE)  # what stands between right letters
_INLINE = re.compile(r"(?:(?<=\s)|(?<=^)|(?<=[。；;）)（( ]))([A-J])\s*[.．、:：)）]\s*", re.MULTILINE)


def find(fields: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return the field of the first of ``names`` that a row has and that holds something; empty if there is none."""
    plain = {re.sub(r"[\s\-]+", "_", name.strip().casefold()): name for name in fields}
    for name in names:
        found = plain.get(name)
        if found is not None and fields[found] not in (None, "", []):
            return found
    return ""


def said(value: Any) -> str:
    """Return a field's value as text: a text, a number, the texts of a list, or the contents of messages."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, list):
        return "\n".join(text for each in value if (text := said(each)))
    if isinstance(value, dict):
        return said(value.get("content", value.get("text", value.get("value", ""))))
    return str(value)


def literal(value: Any) -> Any:
    """Return what a text writes as JSON or Python: tables cannot hold lists otherwise."""
    if not isinstance(value, str) or value.strip()[:1] not in {"[", "{"}:
        return value
    for read in (json.loads, ast.literal_eval):
        try:
            return read(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def options(fields: JSON) -> tuple[list[str], list[str]]:
    """Return the texts of a row's options and the names of the fields that hold them; empty if it offers none."""
    if name := find(fields, CHOICES):
        found = _listed(literal(fields[name]))
        if len(found) >= 2:
            return _bare(found), [name]
    columns: dict[str, list[tuple[int, str]]] = {}
    for name in fields:
        match = _LETTERED.match(name.strip())
        if match and fields[name] not in (None, ""):
            place = LETTERS.find(match[1].upper()) if match[1].isalpha() else int(match[1])
            columns.setdefault(name[: match.start(1)].strip().casefold(), []).append((place, name))
    for prefix in sorted(columns, key=lambda each: -len(columns[each])):
        row = sorted(columns[prefix])
        first = row[0][0]
        if len(row) >= 2 and first in {0, 1} and [place for place, _ in row] == list(range(first, first + len(row))):
            return _bare([said(fields[name]) for _, name in row]), [name for _, name in row]
    return [], []


def _listed(value: Any) -> list[str]:
    if isinstance(value, dict):
        inner = value.get("text", value.get("choices"))
        if isinstance(inner, list):
            return [said(each) for each in inner]
        keys = sorted(value)
        if len(keys) >= 2 and all(len(key) == 1 and key.upper() in LETTERS for key in keys):
            return [said(value[key]) for key in keys]
        return []
    if isinstance(value, list):
        texts = [said(each) for each in value]
        return texts if all(texts) else []
    if isinstance(value, str):
        lines = [line.strip() for line in value.splitlines() if line.strip()]
        if len(lines) >= 2 and all(_LABEL.match(line) for line in lines):
            return lines
        parts = [part.strip() for part in re.split(r"\s*[|;；]\s*", value) if part.strip()]
        return parts if len(parts) >= 2 else inline(value)[1]
    return []


def _bare(texts: list[str]) -> list[str]:
    """Return options without their letters, if they have them in order."""
    marks = [_LABEL.match(text) for text in texts]
    if all(mark and mark[1].upper() == LETTERS[place : place + 1] for place, mark in enumerate(marks)):
        return [text[mark.end() :].strip() for text, mark in zip(texts, marks, strict=True) if mark]
    return texts


def inline(question: str) -> tuple[str, list[str]]:
    """Return a question without the options that stand in it (``A. … B. …``), and their texts, if any."""
    marks = list(_INLINE.finditer(question))
    # The last run of letters that begins with A: earlier ones may be part of the wording.
    for begin in [place for place, mark in enumerate(marks) if mark[1] == "A"][::-1]:
        run = [mark for place, mark in enumerate(marks[begin:]) if mark[1] == LETTERS[place : place + 1]]
        if len(run) >= 2 and len(run) == len(marks[begin:]):
            ends = [mark.start() for mark in run[1:]] + [len(question)]
            texts = [question[mark.end() : end].strip() for mark, end in zip(run, ends, strict=True)]
            if all(texts):
                return question[: run[0].start()].strip(), texts
    return question, []


def letters_of(value: Any, count: int) -> str:
    """Return the letters that an answer names among ``count`` options; empty if it names none."""
    value = literal(value)
    if isinstance(value, list):
        found = [letters_of(each, count) for each in value]
        return "".join(sorted(set("".join(found)))) if all(found) else ""
    if isinstance(value, bool) or not isinstance(value, str):
        return ""
    plain = _BETWEEN.sub("", unicodedata.normalize("NFKC", value)).upper()
    offered = LETTERS[:count]
    return "".join(sorted(set(plain))) if plain and all(c in offered for c in plain) and len(plain) <= count else ""


def number_of(value: Any) -> int | None:
    """Return the whole number that an answer is, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,2}(?:\.0+)?\s*", value):
        return int(float(value))
    return None
