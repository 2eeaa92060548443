"""Drafts of exam questions from what a workspace has, as rows that wait for a person.

This module knows where drafts come from: gaps in sentences, wordings that people asked, rows that a model made of
passages. It does not know who reviews them, or what becomes of a decision.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from feilun.curation.authoring.gaps import gap_drafts
from feilun.curation.exams import Keys, answer_of, holdout, question_of
from feilun.curation.recipe import curate
from feilun.curation.recipes import mended
from feilun.errors import NothingUsable, TooFewSamples
from feilun.records import JSON, Record, derived_id
from feilun.signs import signed
from feilun.store import datasets
from feilun.store.database import Database
from feilun.store.review import ReviewItem

MOST = 60
WHY = {
    "gap": ("a sentence of a document with a gap", "文档中的一句话，挖去一处"),
    "asked": ("a question that people ask, with the documents' answer", "用户问过的问题，答案来自资料"),
    "model": ("a question that a model made from a passage", "模型根据段落出的题"),
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A question with its answer and where that is said; ``how`` is a key of :data:`WHY`, difficulty 1 to 3."""

    question: str
    answer: str
    accept: tuple[str, ...]
    how: str
    difficulty: int
    sources: tuple[str, ...]
    lang: str
    topic: str
    file: str
    place: str
    quote: str

    def as_json(self) -> JSON:
        """Return the draft for the row that a person sees."""
        return {**asdict(self), "accept": list(self.accept), "sources": list(self.sources)}


def draft_exam(db: Database, ws: str, most: int = MOST, dataset: str = "") -> list[Draft]:
    """Return at most so many drafts, taken in turn from every file and every way of making them.

    ``dataset`` names rows that a model made of passages (``feilun synthesise``); their grounding was checked when they
    were made. Sources that may not be used for exams give none. Raises NothingUsable if there is nothing to ask.
    """
    curated = curate(mended(db, ws, "evaluate"))
    drafts = [*_made(db, ws, dataset)] if dataset else []
    try:
        asked = holdout(curated.chat, 1)[1]
    except TooFewSamples:
        asked = []
    by_question = {question_of(record): record for record in curated.chat}
    for item in asked:
        record = by_question[item.question]
        if "[" in answer_of(record):  # what was masked is nothing to ask for
            continue
        drafts.append(_draft(record, item.question, answer_of(record), item.accept, "asked", 1))
    for gap in gap_drafts(curated.passages):
        told = _draft(gap.record, gap.question, gap.answer, (gap.answer,), "gap", gap.difficulty, gap.sentence)
        drafts.append(told)
    found = list(itertools.islice(_in_turn(drafts), most))
    if not found:
        raise NothingUsable("There is nothing to make an exam of.", "Bring in documents with feilun import or a turn.")
    return found


def review_items(ws: str, name: str, drafts: Iterable[Draft]) -> list[ReviewItem]:
    """Return drafts as rows of the review queue ``exam NAME``: each is accepted or rejected by a person."""
    found = []
    for draft in drafts:
        messages = [{"role": "user", "content": draft.question}, {"role": "assistant", "content": draft.answer}]
        en, zh = WHY[draft.how]
        row: JSON = {"messages": messages, "exam": draft.as_json(), "place": f"{draft.file} {draft.place}".strip()}
        why = {"en": f"{en}: {draft.quote}"[:500], "zh": f"{zh}：{draft.quote}"[:500]}
        key = derived_id("draft", name, draft.question)
        found.append(ReviewItem(key, ws, queue_name(name), "accept", row, draft.sources, why))
    return found


def queue_name(name: str) -> str:
    """Return the review queue of an exam's drafts."""
    return f"exam {name}"


def _made(db: Database, ws: str, dataset: str) -> Iterator[Draft]:
    version = datasets.latest(db, ws, dataset)
    rows = [
        record
        for record in datasets.read(db, ws, version.id, "evaluate")
        if record.kind == "chat" and record.meta.get("made") == "qa" and len(record.messages) == 2
    ]
    keys = Keys(rows)
    for record in rows:
        quote = " ".join(map(str, record.meta.get("cited", ())))
        yield _draft(record, question_of(record), answer_of(record), keys.of(record), "model", 3, quote)


def _draft(
    record: Record, question: str, answer: str, accept: Sequence[str], how: str, difficulty: int, quote: str = ""
) -> Draft:
    meta = {name: str(record.meta.get(name) or "") for name in ("lang", "topic", "file", "place")}
    return Draft(question, answer, tuple(accept), how, difficulty, record.sources, quote=quote or answer, **meta)


def _in_turn(drafts: Sequence[Draft]) -> Iterator[Draft]:
    """Yield drafts from each file and way in turn, so that no long file fills the exam; each question once."""
    groups: dict[tuple[str, str], list[Draft]] = {}
    for draft in drafts:
        groups.setdefault((draft.how, draft.file), []).append(draft)
    ordered = [sorted(many, key=lambda d: derived_id("order", d.question)) for _, many in sorted(groups.items())]
    seen: set[str] = set()
    for row in itertools.zip_longest(*ordered):
        for draft in row:
            if draft is not None and (key := signed(draft.question)) not in seen:
                seen.add(key)
                yield draft
