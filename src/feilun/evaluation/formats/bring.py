"""From files to an exam: the shape is found by looking, every row becomes an item or is named with what is wrong.

Copies are left out, and so are questions that contradict each other; both are named by their lines. An exam's version
is the hash of all that it asks. This module knows how items are made and checked. It does not know where exams are
kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feilun.errors import BadRequest
from feilun.evaluation.formats import fields as naming
from feilun.evaluation.formats.choice import Chosen, base_of, chosen, looks_so, meta_of
from feilun.evaluation.formats.free import GRADERS, Free, flattened, free
from feilun.evaluation.formats.gradable import fault_of, whole
from feilun.evaluation.formats.rows import Row, named, read_rows
from feilun.evaluation.formats.tasks import task_items
from feilun.evaluation.scoring import item_fields
from feilun.records import JSON, Eval, EvalItem, content_hash, derived_id
from feilun.signs import signed

FEW = 30  # below this many questions hardly any difference can be seen
ENDINGS = {".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """How files are to be taken.

    ``shots`` examples from ``dev``, another ``grader``, a ``field`` of a JSON object, the ``data`` of a task;
    ``first`` is the number (0 or 1) from which right options are counted, None as it looks; what is ``sealed`` is never
    trained on.
    """

    dev: tuple[Path, ...] = ()
    shots: int = 0
    grader: str = ""
    field: str = ""
    data: Path | None = None
    sealed: bool = True
    first: int | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """An exam, and what people should know about how it was read."""

    exam: Eval
    warnings: tuple[str, ...]


def read_exam(paths: Sequence[Path], ws: str, name: str, wishes: Wishes | None = None) -> Imported:
    """Return the exam in files or folders of files; raise BadRequest that names what is wrong and where."""
    wishes = wishes or Wishes()
    if wishes.grader and wishes.grader not in GRADERS:
        raise BadRequest(f"There is no grader {wishes.grader!r} for free answers.", f"Choices: {', '.join(GRADERS)}.")
    files = _files(paths)
    if not whole([name, *(path.name for path in files)]):
        raise BadRequest("The name of the exam or of a file is no text that can be kept.", "Give another name.", "name")
    tasks = [path for path in files if path.suffix.lower() in {".yaml", ".yml"}]
    if tasks and len(tasks) < len(files):
        raise BadRequest("Tasks (.yaml) and data cannot be imported together.", "Give the task alone; --data its data.")
    if tasks:
        items, meta, warnings = task_items(tasks, wishes.data, ws, name)
    else:
        items, meta, warnings = _plain_items(files, ws, name, wishes)
    if not items:
        raise BadRequest(f"The exam {name} has no usable question: {named(warnings)}", "Mend the file.")
    if len(items) < FEW:
        warnings.append(f"Only {len(items)} questions: hardly any difference between models can be shown with them.")
    version = content_hash([meta, [(item.id, item.question, item.meta) for item in items]])
    meta |= {"kind": "imported", "sealed": wishes.sealed, "version": version, "files": [path.name for path in files]}
    return Imported(Eval(derived_id("eval", ws, name, version), ws, name, tuple(items), meta=meta), tuple(warnings))


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in ENDINGS) if path.is_dir() else [path]
        if not inside:
            raise BadRequest(f"{path} holds no exam.", f"Files end with {', '.join(sorted(ENDINGS))}.")
        found += inside
    for path in found:
        if not path.is_file():
            raise BadRequest(f"There is no file {path}.", "Look at its name.")
        if path.suffix.lower() not in ENDINGS:
            raise BadRequest(
                f"{path.name} is no form that an exam comes in.", f"Possible: {', '.join(sorted(ENDINGS))}."
            )
    return found


def _plain_items(files: list[Path], ws: str, name: str, wishes: Wishes) -> tuple[list[EvalItem], JSON, list[str]]:
    items: list[EvalItem] = []
    faults: list[str] = []
    read = [(path, _joined(path, flattened(read_rows(path, wishes.field)))) for path in files]
    total = sum(len(rows) for _, rows in read)
    offered = {path for path, rows in read if looks_so(rows) and not wishes.grader}
    warnings: list[str] = []
    base = _base([row for path, rows in read if path in offered for row in rows], wishes, warnings)
    heads: dict[str, str] = {}
    for path, rows in read:
        topic = path.stem if len(files) > 1 else ""
        several = path in offered
        for row in rows:
            items += _taken(chosen(row, base) if several else free(row, wishes.grader), row, faults, ws, name, topic)
        heads |= _heads(path, topic, wishes, base) if several else {}
    if faults and 2 * len(faults) > total:
        raise BadRequest(
            f"Most rows of the exam {name} cannot be used ({len(faults)} of {total}): {named(faults)}",
            "It needs a question and an answer in each row; options for multiple choice.",
        )
    if faults:
        warnings.append(f"{len(faults)} rows were left out: {named(faults)}")
    kept = _without_copies(items, warnings)
    return kept, {"heads": heads} if heads else {}, warnings


def _base(rows: list[Row], wishes: Wishes, warnings: list[str]) -> int:
    """Return from which number right options are counted; raise BadRequest where only people can know."""
    if wishes.first is not None:
        return wishes.first
    base = base_of(rows)
    if base.open and not base.usual:
        raise BadRequest(f"In this exam {base.open}: nothing tells which.", "Say it with --first 1 or --first 0.")
    if base.open:
        warnings.append(f"In this exam {base.open}; 0 is assumed, as programs count. Otherwise give --first 1.")
    return base.first


def _joined(path: Path, rows: list[Row]) -> list[Row]:
    """Add to rows of tools the calls that a file of the same name in ``possible_answer`` holds."""
    beside = path.parent / "possible_answer" / path.name
    if not beside.is_file() or not rows or "id" not in rows[0].fields:
        return rows
    answers = {str(row.fields.get("id")): row.fields for row in read_rows(beside)}
    return [Row(r.file, r.line, {**answers.get(str(r.fields.get("id")), {}), **r.fields}) for r in rows]


def _heads(path: Path, topic: str, wishes: Wishes, base: int) -> dict[str, str]:
    """Return the solved examples that stand before each question of a file."""
    if not wishes.shots:
        return {}
    same = [dev for place in wishes.dev for dev in _files([place]) if dev.stem == path.stem] or _files(wishes.dev)
    rows = [row for dev in same for row in read_rows(dev, wishes.field)]
    solved = [each for row in rows if isinstance(each := chosen(row, base), Chosen) and len(each.gold) == 1]
    if len(solved) < wishes.shots:
        raise BadRequest(
            f"{wishes.shots} examples are wanted, and the dev files have {len(solved)}.", "Give more with --dev."
        )
    return {topic: "\n\n".join(each.solved() for each in solved[: wishes.shots]) + "\n\n"}


def _taken(found: Chosen | Free | str, row: Row, faults: list[str], ws: str, name: str, topic: str) -> list[EvalItem]:
    if not whole(row.fields):
        found = "it holds half a character (a lone surrogate)"
    if isinstance(found, str):
        faults.append(f"{row.place}: {found}")
        return []
    own = naming.find(row.fields, naming.TOPIC)
    topic = topic or (naming.said(row.fields[own])[:100] if own else "")
    key = naming.said(row.fields.get(naming.find(row.fields, naming.IDS))) or str(row.line)
    if isinstance(found, Chosen):
        meta, question = meta_of(found, topic), found.asked()
        accept: tuple[str, ...] = tuple(found.choices[place] for place in meta["gold"])
        reject: tuple[str, ...] = ()
    else:
        question, accept, reject = found.question, found.accept, tuple(found.more.get("reject", ()))
        more = {field: value for field, value in found.more.items() if field != "reject"}
        meta = {"grader": found.grader, "topic": topic, "line": row.place, **more}
    for field in ("difficulty", "level", "cluster"):
        if row.fields.get(field) not in (None, ""):
            meta.setdefault("difficulty" if field == "level" else field, str(row.fields[field]))
    meta["key"] = key
    item = EvalItem(derived_id("item", ws, name, question, accept, meta["grader"]), question, accept, reject, meta)
    if fault := fault_of(meta["grader"], item_fields(item)):
        faults.append(f"{row.place}: {fault}")
        return []
    return [item]


def _without_copies(items: list[EvalItem], warnings: list[str]) -> list[EvalItem]:
    """Return items without copies and without those that contradict each other; say which."""
    groups: dict[Any, list[EvalItem]] = defaultdict(list)
    for item in items:
        choices = frozenset(signed(text) or text for text in item.meta.get("choices", ()))
        wording = item.question.split("\nA. ")[0] if choices else item.question
        groups[signed(wording) or wording, choices, content_hash(item.meta.get("tools"))].append(item)
    kept, copies, contradictions = [], [], []
    for group in groups.values():
        answers = Counter(frozenset(signed(text) or text for text in item.accept) for item in group)
        places = ", ".join(str(item.meta["line"]) for item in group)
        if len(answers) > 1:
            contradictions.append(places)
            continue
        kept.append(group[0])
        if len(group) > 1:
            copies.append(places)
    if copies:
        warnings.append(f"{len(copies)} questions stand there more than once and are taken once: {named(copies)}")
    if contradictions:
        warnings.append(
            f"{len(contradictions)} questions have answers that contradict each other and are left out: "
            f"{named(contradictions)}"
        )
    order = {item.id: place for place, item in enumerate(items)}
    unique = {item.id: item for item in kept}
    return sorted(unique.values(), key=lambda item: order[item.id])
