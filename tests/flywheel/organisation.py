"""A small organisation, a turn of it with a tiny model, and what a turn leaves, as data that can be compared."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil
from tests.models import tiny_model

from feilun.flywheel import turn
from feilun.settings import Settings
from feilun.store import Database, datasets, evals, models, verdicts

WORKSPACE = "harbour"
SECRET = "marigold"
FACTS = 26
COSTS = {"seconds", "joules"}
COLOURS = ("amber", "blue", "coral", "green", "ivory", "lilac", "olive")


def write_organisation(folder: Path) -> Path:
    """Write facts in three wordings, an exam, and files that must not be trained on, two of them in disguise."""
    (folder / "board").mkdir(parents=True)
    (folder / "desk").mkdir()
    facts = [(f"door {number}", COLOURS[number % 7]) for number in range(1, FACTS + 1)]
    with (folder / "faq.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["question", "answer"])
        for door, colour in facts[:14]:
            rows.writerows((wording, f"The colour of {door} is {colour}.") for wording in wordings(door))
    pairs = [(wording, colour) for door, colour in facts[14:] for wording in wordings(door)]
    (folder / "desk" / "answers.md").write_text(
        "\n\n".join(f"Q: {q}\nA: It is {colour}." for q, colour in pairs) + "\n"
    )
    with (folder / "exam.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["question", "accept"])
        rows.writerows((f"In which colour has {door} been painted?", colour) for door, colour in facts)
    secret = (
        f"Q: What is the code of the vault below the hall?\nA: The code of the vault is {SECRET} seven.\n\n"
        f"# Plans\n\nThe board has agreed that the {SECRET} merger is to be told to the members in June.\n"
    )
    (folder / "board" / "minutes.md").write_text(secret)
    (folder / "desk" / "copied.md").write_text(secret)
    (folder / "desk" / "mixed.md").write_text(
        "Q: Where do lost umbrellas go in winter?\nA: Lost umbrellas go to the cupboard behind the desk.\n\n"
        f"Q: What is the code of the vault below the hall?\nA: The code of the vault is {SECRET} seven.\n"
    )
    (folder / "desk" / "expired.md").write_text(
        f"Q: Which offer ended last spring?\nA: The {SECRET} saver ended in spring.\n"
    )
    (folder / "desk" / "going.md").write_text(
        "Q: Who waters the tall fern in the lobby?\nA: The tall fern is watered by the night porter.\n"
    )
    (folder / "feilun.permissions.yaml").write_text(
        '"board/": {train: no, retrieve: yes}\n"desk/expired.md": {until: 2020-01-01}\n'
    )
    return folder


def wordings(door: str) -> tuple[str, str, str]:
    """Return the wordings in which a fact is trained."""
    return (
        f"What colour is {door}?",
        f"Please name the colour that {door} has.",
        f"Could you tell me how {door} is painted?",
    )


def write_base(folder: Path) -> Path:
    """Write a tiny model."""
    return tiny_model(folder)


def settings(home: Path, base: Path) -> Settings:
    """Return settings under which a turn takes seconds."""
    return Settings(home=str(home), model=str(base), batch=8, context=512, general=40, epochs=1, threads=1)


def run_turn(db: Database, made: Settings, folder: Path, drill: str = "", say: Callable[..., None] = print) -> Any:
    """Turn the wheel once; return its result."""
    return asyncio.run(turn(db, made, WORKSPACE, [folder], drill, say))


def samples(made: Settings, job: str) -> str:
    """Return the text that a turn trained on."""
    return (made.root / "jobs" / job / "samples.jsonl").read_text(encoding="utf-8")


def snapshot(db: Database) -> dict[str, Any]:
    """Return what must be the same after a disturbed and an undisturbed turn; no ids of turns, no times."""
    exams = evals.find(db, WORKSPACE)
    return {
        "datasets": sorted((v.name, v.version, v.id, v.sha256, v.rows) for v in datasets.find(db, WORKSPACE)),
        "exams": {exam.name: [asdict(item) for item in exam.items] for exam in exams},
        "answers": {
            f"{exam.name} {run.model}": [costless(asdict(answer)) for answer in evals.answers(db, WORKSPACE, run.id)]
            for exam in exams
            for run in evals.find_runs(db, WORKSPACE, exam.id)
        },
        "models": sorted((version.id, version.kind) for version in models.find(db, WORKSPACE)),
        "verdicts": [asdict(replace(verdict, id="", created=0.0, meta={})) for verdict in verdicts.find(db, WORKSPACE)],
    }


def costless(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without what it cost: no two runs take the same time."""
    return {**answer, "meta": {name: value for name, value in answer["meta"].items() if name not in COSTS}}


_others: set[int] = set()


def note_others() -> None:
    """Note what runs already: other files of tests keep services until the end of all."""
    _others.clear()
    _others.update(child.pid for child in psutil.Process().children(recursive=True))


def children() -> list[psutil.Process]:
    """Return the engines and training processes of this file; graders may wait warm for more work."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if child.pid not in _others
        and any("feilun." in part and not part.startswith("feilun.grading") for part in child.cmdline())
    ]
