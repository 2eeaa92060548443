"""The leaderboard from what is kept: the newest run of each model on each exam, prices, sizes.

This module knows the store's exams, runs, endpoints and model folders. It does not know how they came about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from feilun.evaluation.compare import cluster_of
from feilun.evaluation.leaderboard.table import Board, Cell, Model, Price, cell, smallest
from feilun.records import Endpoint, Eval, EvalAnswer, EvalRun, ModelVersion, content_hash
from feilun.store import evals, models
from feilun.store.access import endpoints
from feilun.store.database import Database


def board(db: Database, ws: str, bar: float, exam: str = "", *, every: bool = False) -> Board:
    """Return the leaderboard of a workspace: the newest run of every model on every exam.

    ``exam`` (an id or a name) keeps one exam alone. Exams of one name, as every turn makes them anew, are one another's
    versions: the newest is shown, or ``every`` one. Runs of an eval over different data are different exams.
    """
    versions = {version.id: version for version in models.find(db, ws)}
    prices = _prices(endpoints.find(db, ws))
    found: dict[tuple[str, str], Cell] = {}
    exams: dict[str, str] = {}
    for each in _wanted(evals.find(db, ws), exam, every=every):
        for run in evals.find_runs(db, ws, each.id):
            given = evals.answers(db, ws, run.id)
            answers = [answer for answer in given if not answer.meta.get("errored")]  # nobody knows if those are right
            if not answers or run.meta.get("trial"):
                continue
            key, name = _exam_of(each, run, given)
            exams[key] = name
            found[run.model, key] = _cell(each, key, run, answers, prices.get(run.model))
    cells = tuple(found.values())
    shown = tuple(_model(name, versions, endpoints.find(db, ws)) for name in sorted({each.model for each in cells}))
    return Board(shown, exams, cells, bar, smallest(shown, cells, bar))


def _wanted(exams: Sequence[Eval], wanted: str, *, every: bool) -> list[Eval]:
    named = [each for each in exams if wanted in {"", each.id, each.name}]
    if every or any(each.id == wanted for each in named):
        return named
    newest = {each.name if each.items else each.id: each for each in named}
    return [each for each in named if newest[each.name if each.items else each.id] is each]


def _exam_of(exam: Eval, run: EvalRun, given: Sequence[EvalAnswer]) -> tuple[str, str]:
    """Return the key and the name of what was sat: over other data, or by likelihood, it is another exam."""
    if run.meta.get("by") == "likelihood":
        return f"{exam.id}/likelihood", f"{exam.name} (likelihood)"
    if "data_source" not in run.meta:
        return exam.id, exam.name
    told = run.meta["data_source"]
    source: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    # A run that was brought in may not say where its rows were; its answers still hold them.
    rows = source.get("source") or sorted(content_hash([each.item, each.meta.get("item")]) for each in given)
    mark = content_hash([rows, source.get("input_messages")])[:8]
    return f"{exam.id}/{mark}", f"{exam.name} ({mark})"


def _cell(exam: Eval, key: str, run: EvalRun, answers: Sequence[EvalAnswer], price: Price | None) -> Cell:
    items = {item.id: cluster_of(item) for item in exam.items}
    clusters = [items.get(answer.item) or _text(answer.meta.get("item", {}).get("cluster")) for answer in answers]
    questions = int(run.meta.get("total") or len(exam.items) or len(answers))
    facts = {"id": run.id, "created": run.created, "questions": questions}
    return cell(run.model, key, facts, answers, clusters, price)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _prices(found: Sequence[Endpoint]) -> dict[str, Price]:
    """Return what models cost by the names that runs are kept under; the dearest where endpoints disagree.

    An endpoint itself has a price where all its targets have the same one.
    """
    prices: dict[str, Price] = {}
    for endpoint in found:
        own = {Price(target.price_in, target.price_out) for target in endpoint.targets}
        if len(own) == 1 and own != {Price(0, 0)}:
            prices[endpoint.id] = next(iter(own))
        for target in endpoint.targets:
            name = f"{target.provider}/{target.model}" if target.provider else target.model
            price = Price(target.price_in, target.price_out)
            if price != Price(0, 0):
                known = prices.get(name, price)
                prices[name] = max(known, price, key=lambda each: (each.answer, each.prompt))
    return prices


def _model(name: str, versions: Mapping[str, ModelVersion], named: Sequence[Endpoint]) -> Model:
    version = versions.get(name)
    if version is None:
        endpoint = next((each for each in named if each.id == name), None)
        return Model(name, endpoint.name if endpoint else name, "endpoint" if endpoint else "provider", None)
    size = _weights(Path(version.folder))
    base = versions.get(version.base)
    if version.kind == "adapter" and size is not None:
        beneath = _weights(Path(base.folder)) if base else None
        size = None if beneath is None else size + beneath
    return Model(name, version.name, version.kind, size)


def _weights(folder: Path) -> int | None:
    """Return the bytes of the weights in a folder, None if there are none."""
    files = [file for file in folder.glob("*.safetensors") if file.is_file()] if folder.name else []
    return sum(file.stat().st_size for file in files) or None
