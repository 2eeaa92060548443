"""What is secret: the questions of every exam of a workspace, and how far the secret goes.

This module knows exams as they are kept. It does not know how a question is found in a record.
"""

from __future__ import annotations

import string
from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import Enum

from feilun.curation.copies.contamination import parted
from feilun.records import JSON, Eval, EvalItem, EvalRun, content_hash, derived_id
from feilun.store import evals
from feilun.store.database import Database


class Secrecy(Enum):
    """How much of an item must not be trained on; every level holds for its disguises too.

    ``QUESTION``: the question, parts of it, and the same question in other words: exams of general ability.
    ``WORDING``: the question as it is worded, alone or within something longer. Exams of an organisation's own facts
    ask what the training teaches in other words; the wording is secret, the fact is not.
    ``WHOLE``: the wording as a whole text or sentence. A lesson from feedback is trained and examined in carriers
    around the same question; only the carriers of the exam are secret.
    """

    QUESTION = "question"
    WORDING = "wording"
    WHOLE = "whole"


_QUESTION = (
    *("question", "query", "prompt", "problem", "input", "instruction", "text", "q"),
    *("问题", "题目", "题干", "問題", "題目"),
)
OWN = ("own exam", "own")  # names and kinds of exams of an organisation's own facts


def secrecy(item: EvalItem) -> Secrecy:
    """Return how far the secret of an item goes: what it says itself, else by where it comes from."""
    told = item.meta.get("secrecy")
    if told in {level.value for level in Secrecy}:
        return Secrecy(told)
    if str(item.meta.get("group", "")).startswith("lesson-"):
        return Secrecy.WHOLE
    own = item.meta.get("sources") or item.meta.get("fact") or item.meta.get("exam") in OWN
    return Secrecy.WORDING if own else Secrecy.QUESTION


def asked(item: EvalItem) -> tuple[str, str, list[str]]:
    """Return what is secret of an item: the question with its choices, the question alone, the choices.

    An open question has none, and is the same with and without.
    """
    told = item.meta.get("choices")
    if not isinstance(told, list) or len(told) < 2:
        stem, *offered = parted(item.question) or [item.question]
        return item.question, stem, [choice.strip() for choice in offered if choice.strip()]
    offered = [str(choice) for choice in told]
    if all(choice in item.question for choice in offered):
        return item.question, (parted(item.question) or [item.question])[0], offered
    lettered = (f"{letter}. {choice}" for letter, choice in zip(string.ascii_uppercase, offered, strict=False))
    return "\n".join([item.question, *lettered]), item.question, offered


def sealed_items(db: Database, ws: str, besides: Collection[str] = ()) -> list[EvalItem]:
    """Return the questions of every exam of the workspace, of each name the newest version.

    ``besides`` names exams that a turn makes anew: what others brought in under such a name stays sealed. Evals of the
    API have no questions of their own: theirs are those that their runs asked. What has ``sealed`` false in its
    ``meta`` (of the API: in its metadata) may be trained on: somebody said so. Each item knows its exam:
    ``meta["exam"]`` (its name) and ``meta["eval"]`` (its id).
    """
    # A version is an exam of the same name from the same hand; what has no questions is nobody's newer version.
    newest = {(exam.name, exam.meta.get("kind")) if exam.items else exam.id: exam for exam in evals.find(db, ws)}
    found: list[EvalItem] = []
    for exam in newest.values():
        replaced = exam.name in besides and not exam.meta.get("kind")
        if not replaced and _sealed(exam):
            kind = {"secrecy": Secrecy.WORDING.value} if exam.meta.get("kind") in OWN else {}
            known = {"exam": exam.name, "eval": exam.id}
            items = exam.items or asked_by_runs(db, exam)
            found += [replace(item, meta={**kind, **item.meta, **known}) for item in items]
    return found


def _sealed(exam: Eval) -> bool:
    told = exam.meta.get("metadata")
    said = told.get("sealed") if isinstance(told, Mapping) else None
    return bool(exam.meta.get("sealed", True)) and said not in {False, "false"}


def asked_by_runs(db: Database, exam: Eval) -> list[EvalItem]:
    """Return the questions that the runs of an eval asked, each once: from its rows, or from what the model was sent.

    Of runs over the same rows one is read.
    """
    runs = evals.find_runs(db, exam.workspace, exam.id)
    sources = {content_hash(source) if (source := _source(run)) else run.id: run for run in runs}
    found: dict[str, EvalItem] = {}
    for run in sources.values():
        for answer in evals.answers(db, exam.workspace, run.id):
            if question := _question(answer.meta):
                key = derived_id("item", exam.id, question)
                found.setdefault(key, EvalItem(key, question, (), (), {"line": f"{run.id} {answer.item}"}))
    return list(found.values())


def _source(run: EvalRun) -> object:
    told = run.meta.get("data_source")
    return told.get("source") if isinstance(told, Mapping) else None


def _question(told: JSON) -> str:
    """Return what a row asks: its field of such a name, the longest text of it that was sent, or all that was sent."""
    row = told.get("item")
    fields: JSON = dict(row) if isinstance(row, Mapping) else {}
    sample = told.get("sample")
    sent = _last(sample.get("input") if isinstance(sample, Mapping) else None) or _last(fields.get("messages"))
    texts = {name: text.strip() for name, text in fields.items() if isinstance(text, str) and text.strip()}
    named = {name.strip().casefold(): text for name, text in texts.items()}
    told_by_name = next((named[name] for name in _QUESTION if name in named), "")
    within = max((text for text in texts.values() if text in sent), key=len, default="")
    return told_by_name or within or sent or max(texts.values(), key=len, default="")


def _last(messages: object) -> str:
    """Return what the user says last in a list of messages, whole or in parts; empty if it is none."""
    for each in reversed(messages if isinstance(messages, list) else []):
        if isinstance(each, Mapping) and each.get("role") == "user":
            content = each.get("content")
            parts = content if isinstance(content, list) else [{"text": content}]
            said = [part.get("text") for part in parts if isinstance(part, Mapping)]
            if text := "\n".join(text for text in said if isinstance(text, str)).strip():
                return text
    return ""
