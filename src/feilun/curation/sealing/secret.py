"""What is secret: the questions of every exam of a workspace, and how far the secret goes.

This module knows exams as they are kept. It does not know how a question is found in a record.
"""

from __future__ import annotations

import string
from collections.abc import Collection
from dataclasses import replace
from enum import Enum

from feilun.curation.copies.contamination import parted
from feilun.records import EvalItem
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
    """Return the questions of every exam of the workspace, of each name the newest version; not of those ``besides``.

    An exam whose ``meta["sealed"]`` is false may be trained on: somebody said so.
    Each knows its exam: ``meta["exam"]`` (its name) and ``meta["eval"]`` (its id).
    """
    newest = {exam.name: exam for exam in evals.find(db, ws)}
    found: list[EvalItem] = []
    for name, exam in newest.items():
        if name not in besides and exam.meta.get("sealed", True):
            kind = {"secrecy": Secrecy.WORDING.value} if exam.meta.get("kind") in OWN else {}
            known = {"exam": name, "eval": exam.id}
            found += [replace(item, meta={**kind, **item.meta, **known}) for item in exam.items]
    return found
