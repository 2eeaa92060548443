"""Thumbs, edits and comparisons become preferences: of two answers the better one, and answers that were liked or not.

It knows which judgements say what about whose answer, and which contradict each other. It does not know how a
preference is learnt.
"""

from __future__ import annotations

import json
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from feilun.errors import Forbidden, NotFound, NothingUsable
from feilun.feedback.finished import record_of
from feilun.records import JSON, DatasetVersion, Feedback, Record, Source, Trace, content_hash, derived_id
from feilun.store import datasets, lineage, sources, traces
from feilun.store import feedback as judgements
from feilun.store.access import revoked
from feilun.store.database import Database
from feilun.store.review import queue

GOOD_SCORE, BAD_SCORE = 0.8, 0.5
APART = 0.3  # between the scores of two answers to the same, from which on one is the better
MOST_PAIRS = 8  # of answers to one question that met by thumbs: a question asked all day must not outweigh the rest
_ROLES = {"system", "developer", "user", "assistant"}


@dataclass(frozen=True, slots=True)
class Preferences:
    """Pairs (kind ``preference``), answers that were judged alone (kind ``chat``, ``meta["liked"]``), what is left out.

    ``left_out`` names judgements (ids of feedback or of reviewed rows), each with the reason.
    """

    pairs: list[Record] = field(default_factory=list)
    rated: list[Record] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What was said of one answer to a prompt; ``better`` is what somebody made of it."""

    key: str
    prompt: tuple[JSON, ...]
    answer: str
    whole: bool
    liked: bool | None
    score: float | None
    better: str
    sources: tuple[str, ...]
    names: tuple[str, ...]


def preferences(db: Database, ws: str) -> Preferences:
    """Return what the feedback and the finished reviews of a workspace prefer; the same each time, nothing twice.

    An edit prefers what was written to what was answered. Two answers to the same prompt, one liked and one not, or
    scored apart, are a pair. Of what was said about one call the latest counts. Each judgement becomes a source with
    the permissions of its call; what must not be trained on is left out, and so is what contradicts itself.
    """
    found = Preferences()
    judged = list(_reviewed(db, ws, found))
    tainted = revoked.all_models(db, ws)
    for given in _latest(judgements.find(db, ws)):
        one = _read(db, ws, given, tainted, found)
        if one is not None:
            judged.append(one)
    by_prompt: defaultdict[str, list[_Judged]] = defaultdict(list)
    for one in judged:
        by_prompt[one.key].append(one)
    for some in by_prompt.values():
        _prefer(some, found)
    return found


def write_preferences(db: Database, ws: str, name: str = "preferences") -> tuple[DatasetVersion, Preferences]:
    """Write all preferences as a dataset version to train on (methods ``dpo``, ``kto``, ``reward``), and return both.

    Raises NothingUsable if nobody has preferred anything, BadRequest for a name that is none, OutOfSpace.
    """
    found = preferences(db, ws)
    records = [*found.pairs, *found.rated]
    if not records:
        why = f" {len(found.left_out)} judgements are left out: {found.left_out[0][1]}." if found.left_out else ""
        raise NothingUsable(f"No judgement prefers anything.{why}", "Give thumbs and corrections to answers.")
    counts = {"pairs": len(found.pairs), "rated": len(found.rated)}
    version, also = datasets.write(db, ws, name, records, "train", {"origin": "preferences", **counts})
    found.left_out.extend((record.id, reason) for record, reason in also)
    return version, found


def _latest(given: Iterable[Feedback]) -> list[Feedback]:
    """Return one judgement a call: of each thing that can be said, the latest."""
    merged: dict[str, Feedback] = {}
    for one in given:
        before = merged.get(one.trace)
        if before is not None:
            thumb = before.thumb if one.thumb is None else one.thumb
            score = before.score if one.score is None else one.score
            words = one.correction if one.correction.strip() else before.correction
            merged[one.trace] = replace(one, thumb=thumb, score=score, correction=words)
        else:
            merged[one.trace] = one
    return list(merged.values())


def _read(db: Database, ws: str, given: Feedback, tainted: dict[str, list[str]], found: Preferences) -> _Judged | None:
    """Return what a judgement says; None, with the reason noted, for one that cannot be learnt from."""
    try:
        trace = traces.get(db, ws, given.trace)
    except NotFound:
        found.left_out.append((given.id, "its trace is gone"))
        return None
    prompt, why = _prompt(trace.messages), ""
    if not trace.permissions.train:
        why = "its trace must not be trained on"
    elif trace.model in tainted:
        why = "the answer came from a model that contains revoked data"
    elif not prompt:
        why = "its conversation holds more than words, or does not end with a question"
    elif not trace.answer.strip():
        why = "its trace has no answer"
    elif given.thumb is None and given.score is None and not given.correction.strip():
        why = "it says neither good nor bad"
    elif _same(given.correction) == _same(trace.answer) and given.thumb is None and given.score is None:
        why = "its correction is the answer that was given"
    if not why:
        source = _source(given, trace)
        body = {"messages": list(prompt), "answer": trace.answer, "correction": given.correction, "thumb": given.thumb}
        sources.add(db, source, json.dumps({**body, "score": given.score, "trace": trace.id}).encode())
        try:
            sources.content(db, ws, source.id, "train")
        except Forbidden as error:  # revoked or expired since it was given, or a copy of what is forbidden
            why = error.message
        else:
            lineage.link(db, ws, [(given.id, source.id, "taught")])
    if why:
        found.left_out.append((given.id, why))
        return None
    better = given.correction.strip()
    return _Judged(
        key=_key(prompt),
        prompt=prompt,
        answer=trace.answer.strip(),
        whole=trace.finish == "stop",
        liked=_liked(given),
        score=given.score,
        better=better if _same(better) != _same(trace.answer) else "",
        sources=(source.id,),
        names=(given.id,),
    )


def _liked(given: Feedback) -> bool | None:
    if given.thumb is not None:
        return given.thumb > 0
    if given.score is None:
        return None
    return True if given.score >= GOOD_SCORE else False if given.score < BAD_SCORE else None


def _source(given: Feedback, trace: Trace) -> Source:
    return Source(
        id=derived_id("source", "preference", given.id),
        workspace=trace.workspace,
        name=f"feedback/{given.id}.preference.json",
        sha256="",
        size=0,
        origin="feedback",
        media="json",
        permissions=trace.permissions,
        created=given.created,
        meta={"trace": trace.id, "feedback": given.id},
    )


def _prompt(messages: Sequence[JSON]) -> tuple[JSON, ...]:
    """Return a conversation as plain words that wait for an answer; empty if it is none."""
    said: list[JSON] = []
    for message in messages:
        content, role = message.get("content"), message.get("role")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
        texts = [part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text"]
        words = [text for text in texts if isinstance(text, str)]
        if role not in _ROLES or len(words) < len(parts) or message.get("tool_calls"):
            return ()
        said.append({"role": "system" if role == "developer" else role, "content": "\n".join(words)})
    return tuple(said) if said and said[-1]["role"] == "user" and said[-1]["content"].strip() else ()


def _reviewed(db: Database, ws: str, found: Preferences) -> Iterable[_Judged]:
    """Yield what reviewers preferred or corrected, of rows that are conversations."""
    for item in queue.find(db, ws, "", "done"):
        record = record_of(item)
        if record is None or "rejected" not in record.meta or record.kind != "chat":
            continue
        prompt = _prompt(record.messages[:-1])
        if not prompt or not record.sources:
            found.left_out.append((item.id, "its conversation holds more than words, or does not end with a question"))
            continue
        better, worse = str(record.messages[-1]["content"]).strip(), str(record.meta["rejected"]).strip()
        yield _Judged(_key(prompt), prompt, worse, True, None, None, better, record.sources, (item.id,))


def _prefer(some: Sequence[_Judged], found: Preferences) -> None:
    """Note the pairs among the answers to one prompt, then the answers that were judged but met no other."""
    sure = _consistent(some, found)
    made: dict[tuple[str, str], tuple[str, str, tuple[_Judged, ...]]] = {}
    for one in sure:
        if one.better:
            made.setdefault((_same(one.better), _same(one.answer)), (one.better, one.answer, (one,)))
    for good, bad in _met(sure):
        made.setdefault((_same(good.answer), _same(bad.answer)), (good.answer, bad.answer, (good, bad)))
    used = {name for one in sure if one.better for name in one.names}
    for (better, worse), (chosen, rejected, by) in made.items():
        if (worse, better) in made:
            found.left_out.append((by[0].names[0], "another judgement prefers the other one of the two answers"))
        else:
            found.pairs.append(_pair(chosen, rejected, by))
        used.update(name for each in by for name in each.names)
    alone = [one for one in sure if one.liked is not None and not used & set(one.names)]
    for one in {(_same(one.answer), one.liked): one for one in alone}.values():
        if one.liked and not one.whole:
            found.left_out.append((one.names[0], "the answer was cut short"))
        else:
            found.rated.append(_rating(one))


def _consistent(some: Sequence[_Judged], found: Preferences) -> list[_Judged]:
    """Return the judgements but for thumbs of both kinds on the same answer."""
    verdicts: defaultdict[str, set[bool]] = defaultdict(set)
    for one in some:
        if one.liked is not None:
            verdicts[_same(one.answer)].add(one.liked)
    sure = []
    for one in some:
        if len(verdicts[_same(one.answer)]) > 1 and not one.better:
            found.left_out.append((one.names[0], "others judged the same answer the other way"))
        else:
            sure.append(one)
    return sure


def _met(some: Sequence[_Judged]) -> Iterable[tuple[_Judged, _Judged]]:
    """Yield answers of which one was liked and the other not, or that were scored apart, the better one first."""
    count = 0
    for good, bad in product(some, some):
        if not good.whole or _same(good.answer) == _same(bad.answer):
            continue
        thumbs = good.liked is True and bad.liked is False
        scores = good.score is not None and bad.score is not None and good.score - bad.score >= APART
        apart = scores and (good.liked, bad.liked) != (False, True)
        if (thumbs or apart) and count < MOST_PAIRS:
            count += 1
            yield good, bad


def _pair(chosen: str, rejected: str, by: Sequence[_Judged]) -> Record:
    one = by[0]
    said = [{"role": "assistant", "content": text} for text in (chosen, rejected)]
    origin = tuple(sorted({source for each in by for source in each.sources}))
    key = derived_id("record", "preference", one.key, chosen, rejected, list(origin))
    return Record(key, "preference", origin, (*one.prompt, *said), "", _meta(one, by))


def _rating(one: _Judged) -> Record:
    messages = (*one.prompt, {"role": "assistant", "content": one.answer})
    key = derived_id("record", "rated", one.key, one.answer, one.liked, list(one.sources))
    return Record(key, "chat", one.sources, messages, "", {**_meta(one, [one]), "liked": one.liked})


def _meta(one: _Judged, by: Sequence[_Judged]) -> JSON:
    judged = sorted({name for each in by for name in each.names})
    return {"origin": "feedback", "topic": "feedback", "group": one.key, "place": "", "judged": judged}


def _key(prompt: Sequence[JSON]) -> str:
    """Return the same for prompts that differ in Unicode form or spaces alone."""
    return f"prompt-{content_hash([[message['role'], _same(message['content'])] for message in prompt])[:26]}"


def _same(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())
