"""What a person's decision on an insight writes: corrections that the next turn trains on, questions that it asks.

This module knows which questions teach and which are held back, and what may be used. It does not know how questions
come together in an insight, nor how a correction becomes training.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from feilun.errors import BadRequest, NotFound
from feilun.feedback.insights.near import is_chinese
from feilun.feedback.insights.signs import questions
from feilun.grading import contains
from feilun.records import JSON, Feedback, Purpose, Trace, derived_id, normalise_text
from feilun.store import Database, traces
from feilun.store import feedback as judgements
from feilun.store.access import permits
from feilun.store.insights import Insight, kept
from feilun.store.insights.nouns import Proposal

TAUGHT, HELD = 4, 12  # questions in one language: each that is taught is asked in a dozen other wordings too
_LONGEST = 20_000
Mask = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True, slots=True)
class Held:
    """A user's question that is asked in exams and never trained: its right answer, and words that it must hold.

    ``source`` is the lesson that taught the insight (else the trace of the question). Without ``accept`` the answer's
    own telling words are wanted.
    """

    insight: str
    question: str
    answer: str
    accept: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Given:
    """What a person gives with their yes: an answer (one a language), words that a right answer holds, a note.

    ``kind`` is what to do instead of what is proposed; ``without`` are calls (trace ids) that do not belong here.
    """

    answers: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()
    note: str = ""
    kind: Proposal | None = None
    without: tuple[str, ...] = ()


def accept(db: Database, ws: str, insight_id: str, given: Given, mask: Mask) -> Insight:
    """Accept an insight; the same acceptance again changes nothing.

    With an answer (given, else the newest correction that users gave) half of its questions become corrections, which
    the next turn trains on, and the others are held back for the next exam; for ``exam`` all are held back. Without an
    answer the proposal is kept as a note: knowledge to add, instructions to change. Calls that must not be trained on,
    and questions with personal data, are left out, each with the reason. Raises NotFound, Conflict, BadRequest.
    """
    insight = kept.get(db, ws, insight_id)
    said: JSON = {
        "answers": [answer.strip() for answer in given.answers if answer.strip()],
        "accept": [word.strip() for word in given.accept if word.strip()],
        "note": given.note.strip(),
        "kind": given.kind,
        "without": sorted(given.without),
    }
    if any(len(text) > _LONGEST for text in (*said["answers"], said["note"])):
        raise BadRequest(f"An answer has at most {_LONGEST} characters.", param="answer")
    outcome: JSON = {"said": said, "at": time.time()}
    if insight.status != "accepted":
        outcome |= _planned(db, ws, insight, said, mask)
    done = kept.decide(db, ws, insight_id, "accepted", outcome, outcome.get("feedback", []))
    for number, one in enumerate(done.outcome.get("taught", [])):
        at = float(done.outcome["at"]) + number * 1e-6
        judgements.add(
            db, Feedback(one["feedback"], ws, one["trace"], None, None, one["answer"], f"insight {insight_id}", at)
        )
    return done


def dismiss(db: Database, ws: str, insight_id: str, reason: str) -> Insight:
    """Dismiss an insight with a reason; calls like its own do not bring it back.

    Raises NotFound, Conflict, BadRequest.
    """
    if not reason.strip():
        raise BadRequest("A dismissal needs a reason.", "Say why, so that others need not ask.", "reason")
    return kept.decide(db, ws, insight_id, "dismissed", {"said": {"reason": reason.strip()[:_LONGEST]}}, ())


def held(db: Database, ws: str, lessons: Collection[str]) -> list[Held]:
    """Return the questions that accepted insights hold back for exams; ``lessons`` are the lessons' sources in force.

    What was taught and may not be trained on any more is not asked either; nor is a call that forbids it by now.
    """
    found = []
    for insight in kept.find(db, ws, "accepted"):
        taught = [derived_id("source", "feedback", one) for one in insight.outcome.get("feedback", [])]
        alive = [source for source in taught if source in lessons]
        if taught and not alive:
            continue
        words = tuple(insight.outcome["said"]["accept"])
        for one in insight.outcome.get("held", []):
            try:
                refused = _refused(traces.get(db, ws, one["trace"]), "evaluate")
            except NotFound:
                continue
            if not refused:
                source = alive[0] if alive else str(one["trace"])
                found.append(Held(insight.id, one["question"], one["answer"], words, source))
    return found


def _planned(db: Database, ws: str, insight: Insight, said: JSON, mask: Mask) -> JSON:
    """Return what an acceptance is to write, and what it leaves out."""
    kind: Proposal = said["kind"] or insight.proposal
    found: list[Trace] = []
    left_out: list[list[str]] = []
    for part in insight.evidence:
        try:
            trace = traces.get(db, ws, str(part["trace"]))
        except NotFound:
            left_out.append([str(part["trace"]), "its trace is gone"])
            continue
        reason = "somebody left it out" if trace.id in said["without"] else _refused(trace, "train")
        if reason:
            left_out.append([trace.id, reason])
        else:
            found.append(trace)
    answers = _answers(db, ws, said["answers"], {trace.id for trace in found})
    if not answers:
        if kind in {"samples", "exam"}:
            hint = f'feilun insights accept {insight.id} --answer "…"'
            raise BadRequest("Nobody has given a right answer to these questions yet.", hint, "answer")
        return {"kind": kind, "left_out": left_out, "taught": [], "held": [], "feedback": []}
    for answer in answers.values():
        if said["accept"] and not contains(answer, said["accept"]):
            message = f"The right answer {answer[:80]!r} holds none of {', '.join(said['accept'])}: it would be wrong."
            raise BadRequest(message, "Name words that stand in it, in each language that is answered in.", "accept")
    asked, more = _usable(found, answers, mask)
    taught, kept_back = _split(insight.id, asked, answers, teach=kind != "exam")
    if not taught and not kept_back:
        raise BadRequest("None of these calls may be used.", (more or left_out or [["", ""]])[0][1], "insight")
    return {
        "kind": kind if kind == "exam" else "samples",
        "taught": taught,
        "held": kept_back,
        "feedback": [one["feedback"] for one in taught],
        "left_out": left_out + more,
    }


def _answers(db: Database, ws: str, said: Sequence[str], usable: Collection[str]) -> dict[bool, str]:
    """Return the right answer, Chinese (True) or not: as said, else as users corrected it last."""
    if not said:
        said = [one.correction.strip() for one in judgements.find(db, ws) if one.trace in usable and one.correction]
    return {is_chinese(text): text for text in said if text}


def _usable(found: Sequence[Trace], answers: dict[bool, str], mask: Mask) -> tuple[list[Trace], list[list[str]]]:
    """Return the calls whose question stands alone, without personal data, in the language of an answer."""
    asked = [questions(trace) for trace in found]
    masked = mask([texts[-1] if texts else "" for texts in asked])
    usable: dict[str, Trace] = {}
    left_out: list[list[str]] = []
    for trace, texts, shown in zip(found, asked, masked, strict=True):
        if len(texts) != 1:
            left_out.append([trace.id, "it cannot be understood without the conversation before it"])
        elif shown != texts[0]:
            left_out.append([trace.id, "its question holds personal data"])
        elif is_chinese(texts[0]) not in answers:
            left_out.append([trace.id, "no answer was given in its language"])
        else:
            usable.setdefault(normalise_text(texts[0]), trace)
    return list(usable.values()), left_out


def _split(
    insight_id: str, asked: Sequence[Trace], answers: dict[bool, str], *, teach: bool
) -> tuple[list[JSON], list[JSON]]:
    """Return what is taught and what is held back, of each language every other question, in an order of chance."""
    taught: list[JSON] = []
    back: list[JSON] = []
    by_language: defaultdict[bool, list[Trace]] = defaultdict(list)
    for trace in sorted(asked, key=lambda trace: derived_id("order", insight_id, normalise_text(questions(trace)[0]))):
        by_language[is_chinese(questions(trace)[0])].append(trace)
    for chinese, mine in sorted(by_language.items()):
        lessons = mine[0::2][:TAUGHT] if teach else []
        rest = [trace for trace in mine if trace not in lessons][:HELD]
        answer = answers[chinese]
        taught += [
            {"trace": trace.id, "answer": answer, "feedback": derived_id("feedback-insight", insight_id, trace.id)}
            for trace in lessons
        ]
        back += [{"trace": trace.id, "question": questions(trace)[0], "answer": answer} for trace in rest]
    return taught, back


def _refused(trace: Trace, purpose: Purpose) -> str:
    return permits.refused(trace.permissions, purpose, datetime.now(UTC).date())
