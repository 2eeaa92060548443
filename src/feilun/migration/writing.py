"""What was read of another system becomes ours: sources with permissions, datasets, calls, judgements, evals, runs.

This module knows our nouns and the order in which they are kept. It does not know any other system's form. Every id is
the one that it had there, or follows from it, so that importing again finds what is there.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

from feilun.errors import Conflict, FeilunError
from feilun.migration.seam import Brought, Call, Definition, Example, Judged, Report, Sat, Upload
from feilun.records import (
    Eval,
    EvalAnswer,
    EvalRun,
    Feedback,
    Job,
    JobStatus,
    Permissions,
    Record,
    Source,
    Trace,
    Usage,
    derived_id,
)
from feilun.store import Database, datasets, record_digests, sources
from feilun.store.access.permits import put_together
from feilun.store.calls import imported

Keyed = TypeVar("Keyed", Call, Definition, Judged, Sat)
KEY = "imported"  # whose calls these were
_NOWHERE = ""
_CLOSED = {"train": False, "retrieve": False}  # settings are nobody's knowledge


@dataclass(slots=True)
class _Done:
    """What was added and what was there, by kind; ids there to ids here."""

    added: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    ids: dict[str, str] = field(default_factory=dict)

    def count(self, kind: str, ids: Sequence[str], new: set[str]) -> None:
        """Count how many of some ids are new."""
        unique = set(ids)
        self.added[kind] += len(unique & new)
        self.known[kind] += len(unique - new)


def write(
    db: Database, ws: str, home: str, found: Brought, files: Mapping[str, Path], said: Mapping[str, Any]
) -> Report:
    """Keep what a reader found; see :func:`feilun.migration.bring.bring`."""
    done = _Done()
    rows = _rows(db, ws, home, found, done)  # so that whatever cannot be ours is known before anything is written
    for upload in found.uploads:
        _upload(db, ws, home, upload, files, said, done)
    by_dataset: defaultdict[str, list[Example]] = defaultdict(list)
    for example in found.examples:
        by_dataset[example.dataset].append(example)
    for name in sorted(by_dataset):
        _dataset(db, ws, home, name, by_dataset[name], said, found, done)
    permissions = put_together(asdict(sources.default(db, ws)), said)
    rows = _permitted(rows, permissions)
    new = imported.keep(db, ws, rows)
    done.count("calls", [each.id for each in rows.traces], new["traces"])
    done.count("judgements", [each.id for each in rows.feedback], new["feedback"])
    done.count("evals", [each.id for each in rows.evals], new["evals"])
    done.count("runs", [run.id for run, _, _ in rows.runs], new["runs"])
    answers = [(run.id, len(said_)) for run, _, said_ in rows.runs]
    done.added["answers"] += sum(count for run, count in answers if run in new["runs"])
    done.known["answers"] += sum(count for run, count in answers if run not in new["runs"])
    return Report(
        home,
        dict(sorted(found.came.items())),
        {kind: count for kind, count in sorted(done.added.items()) if count},
        {kind: count for kind, count in sorted(done.known.items()) if count},
        found.left_out,
        {kind: sorted(names) for kind, names in sorted(found.unknown.items())},
        found.notes,
        done.ids,
    )


def _rows(db: Database, ws: str, home: str, found: Brought, done: _Done) -> imported.Rows:
    traces = {trace.id: trace for trace in (_trace(ws, home, call) for call in _each_once("call", found.calls, found))}
    exams = _each_once("eval", found.definitions, found)
    evals = [Eval(each.key, ws, each.name[:200], (), each.created or 0.0, each.meta) for each in exams]
    judgements = _each_once("judgement", found.judged, found)
    wanted = [_trace_id(ws, home, each.call) for each in judgements]
    there = imported.known(db, ws, sorted(set(wanted) - traces.keys()))
    kept: list[Feedback] = []
    for judged, trace in zip(judgements, wanted, strict=True):
        if trace in traces or trace in there:
            kept.append(_feedback(ws, home, judged, trace))
        else:
            found.leave(f"judgement {judged.key}", f"its call {judged.call} is not in this import, nor was it before")
    sat = _each_once("run", found.sat, found)
    taken = imported.elsewhere(db, ws, [each.key for each in sat])
    runs = [_run(ws, each, each.key in taken, done) for each in sat]
    edges = [(each.trace, each.id, "rated") for each in kept]
    edges += [edge for run, _, _ in runs for edge in ((run.eval, run.id, "asked"),)]
    return imported.Rows(list(traces.values()), kept, evals, runs, edges, {"from": home})


def _each_once(what: str, given: Sequence[Keyed], found: Brought) -> list[Keyed]:
    """Return what has an id of its own; of several with one id the first stays, and what else they say is left out."""
    kept: dict[str, Keyed] = {}
    again = 0
    for each in given:
        first = kept.setdefault(each.key, each)
        if first != each:
            found.leave(f"{what} {each.key}", "another one has the same id, with other content")
        again += first is not each and first == each
    if again:
        found.note(f"{again} of {len(given)} {what}s came more than once, and are kept once.")
    return list(kept.values())


def _permitted(rows: imported.Rows, permissions: Permissions) -> imported.Rows:
    return replace(rows, traces=[replace(trace, permissions=permissions) for trace in rows.traces])


def _trace_id(ws: str, home: str, key: str) -> str:
    return derived_id("trace", ws, home, key)


def _trace(ws: str, home: str, call: Call) -> Trace:
    return Trace(
        _trace_id(ws, home, call.key),
        ws,
        KEY,
        call.endpoint,
        f"{home}/{call.model}" if call.model else home,
        call.messages,
        call.answer,
        call.finish,
        Usage(*call.tokens),
        created=call.created,
        meta={"imported": {"from": home, "id": call.key, **call.meta}},
    )


def _feedback(ws: str, home: str, given: Judged, trace: str) -> Feedback:
    key = derived_id("feedback", ws, home, given.key)
    return Feedback(key, ws, trace, given.thumb, given.score, given.correction, given.comment, given.created)


def _run(ws: str, sat: Sat, taken: bool, done: _Done) -> tuple[EvalRun, Job, list[EvalAnswer]]:
    key = derived_id("evalrun", ws, sat.key) if taken else sat.key
    if taken:
        done.ids[sat.key] = key
    answers = [
        EvalAnswer(key, each["item"], each["prompt"], each["answer"], each["score"], each["meta"])
        for each in sat.answers
    ]
    status = cast(JobStatus, sat.status)
    why = sat.meta["imported"].get("error") or {}
    error = {"code": str(why.get("code") or "failed"), "message": str(why.get("message") or "It failed there.")}
    job = Job(
        key,
        ws,
        "eval_run",
        {"eval": sat.eval, "imported": True},
        status,
        error={"error": error} if status == "failed" else {},
        created=sat.created,
        finished=sat.created,
    )
    return EvalRun(key, ws, sat.eval, sat.model, status, sat.created, sat.meta), job, answers


def _upload(
    db: Database, ws: str, home: str, upload: Upload, files: Mapping[str, Path], said: Mapping[str, Any], done: _Done
) -> None:
    source = _source(db, ws, home, upload, files, said, done)
    if upload.key and upload.key != source.id:
        done.ids[upload.key] = source.id


def _source(
    db: Database, ws: str, home: str, upload: Upload, files: Mapping[str, Path], said: Mapping[str, Any], done: _Done
) -> Source:
    """Keep a file with what it may be used for; the same bytes under the same name are the same source."""
    data = upload.data if upload.data is not None else files[upload.file].read_bytes()
    own = derived_id("file", ws, home, upload.name, upload.purpose, sha256(data).hexdigest())
    meta = {"purpose": upload.purpose, "imported": {"from": home}, **upload.meta}
    known = {source.id for source in sources.find(db, ws, "upload")}
    for key in filter(None, (upload.key, own)):
        source = Source(key, ws, upload.name, "", len(data), "upload", meta=meta)
        try:
            kept = sources.add(db, source, data, {**said, **(_CLOSED if upload.purpose == "user_data" else {})})
        except Conflict:  # another file has this id by now
            continue
        done.count("files", [kept.id], set() if kept.id in known else {kept.id})
        return kept
    raise FeilunError(f"{upload.name} cannot be kept.", "Rename it and import again.")


def _dataset(
    db: Database,
    ws: str,
    home: str,
    name: str,
    examples: Sequence[Example],
    said: Mapping[str, Any],
    found: Brought,
    done: _Done,
) -> None:
    """Write a dataset version, and its rows as a file that can be trained on through the API."""
    unique = {derived_id("record", ws, name, list(each.messages)): each for each in reversed(examples)}
    if len(unique) < len(examples):
        found.note(f"{name}: {len(examples) - len(unique)} rows came more than once, and are kept once.")
    lines = [each for key, each in sorted(unique.items()) if all(_plain(message) for message in each.messages)]
    if len(lines) < len(unique):
        found.note(f"{name}: {len(unique) - len(lines)} rows with tools or empty messages are in no training file.")
    source = _NOWHERE
    if lines:
        data = b"".join(json.dumps({"messages": each.messages}, ensure_ascii=False).encode() + b"\n" for each in lines)
        file = f"{name.replace('/', '-')[:200]}.jsonl"
        source = _source(db, ws, home, Upload("", "", file, "fine-tune", data), {}, said, done).id
        done.ids[name] = source
    records = [
        Record(key, "chat", (source,), each.messages, "", {**each.meta, "group": key, "place": each.file})
        for key, each in sorted(unique.items())
        if source != _NOWHERE
    ]
    if not records:
        found.leave(name, "none of its rows can be trained on")
        return
    sources.note_digests(db, ws, source, {digest for record in records for digest in record_digests(record)})
    before = {version.id for version in datasets.find(db, ws)}
    version, left_out = datasets.write(db, ws, name[:200], records, "inspect")
    done.count("datasets", [version.id], {version.id} - before)
    done.count("rows", [record.id for record in records], set() if version.id in before else set(unique))
    for record, reason in left_out:
        found.leave(f"{name}: {record.id}", reason)


def _plain(message: Mapping[str, Any]) -> bool:
    return message.keys() == {"role", "content"} and message["role"] != "tool" and bool(message["content"].strip())
