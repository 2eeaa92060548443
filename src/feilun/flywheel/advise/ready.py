"""What there is to try with: passages and examples that may be shown, an adapter that serves, a short training.

This module knows where these come from and what permissions they need. It does not know how they do.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from feilun.compute import Context
from feilun.curation import curate
from feilun.curation.recipes import allowed, mended
from feilun.curation.sealing import seal
from feilun.engines.models import ensure_base
from feilun.errors import Conflict, TooFewSamples
from feilun.flywheel.advise.means import PROMPTS, Means, prompted, tuned, with_examples, with_passages
from feilun.records import JSON, Eval, ModelVersion, Purpose, Record
from feilun.settings import Settings
from feilun.store import datasets, models, sources, verdicts
from feilun.store.access import revoked
from feilun.store.database import Database
from feilun.training import run_training

_SHORT_EPOCHS = 2


@dataclass(frozen=True, slots=True)
class Local:
    """A model of this machine is asked; ``train``: a short training is tried, too."""

    train: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The means in the order of what they cost, the usual model if it is ours, and what was not there to be tried."""

    means: tuple[Means, ...]
    usual: ModelVersion | None
    left: tuple[str, ...]


async def ready(
    context: Context, db: Database, settings: Settings, exam: Eval, local: Local | None, *, leaves: bool
) -> Ready:
    """Return what can be tried with a ``local`` model, or with one behind an address (None).

    What is shown to a model of another machine (``leaves``) must be allowed to leave this one.
    """
    ws = context.job.workspace
    passages, examples = await asyncio.to_thread(_texts, db, ws, exam, "retrieve", leaves=leaves)
    means, left = [prompted(name) for name in PROMPTS], []
    below = None
    if passages:
        below = with_passages(passages)
        means.append(below)
    else:
        left.append("passages")
    if examples:
        means.append(with_examples(examples))
    else:
        left.append("examples")
    if local is None:
        return Ready(tuple(means), None, tuple(left))
    base = await asyncio.to_thread(ensure_base, settings.root, settings.model)
    await asyncio.to_thread(models.add, db, base)
    adapter = await asyncio.to_thread(_adapter, db, ws, base)
    if adapter:
        means.append(tuned("adapter", adapter, 0.0, ("the model that your endpoint serves", "端点正在使用的模型")))
        if below:
            both = ("that model, shown the nearest passages", "该模型并附上最相关的段落")
            means.append(tuned("adapter with passages", adapter, 0.0, both, below))
    else:
        left.append("adapter")
    if local.train:
        trained = await _train(context, db, settings, exam, base)
        if trained["model"]:
            about = ("train an adapter on your questions with answers", "用贵机构的问答训练适配器")
            means.append(tuned("short training", trained["model"], trained["seconds"], about))
        else:
            left.append("short training")
    return Ready(tuple(means), base, tuple(left))


def _adapter(db: Database, ws: str, base: ModelVersion) -> str:
    """Return the adapter on ``base`` that the endpoint ``own`` serves, if there is one that learnt nothing revoked."""
    current = verdicts.current(db, ws)
    if current is None or models.get(db, ws, current.model).base != base.id:
        return ""
    return current.model if _clean(db, ws, current.model) else ""


def _clean(db: Database, ws: str, model: str) -> bool:
    """Return whether a version may answer: nothing that it learnt was revoked."""
    try:
        revoked.check(db, ws, model)
    except Conflict:
        return False
    return True


def _texts(db: Database, ws: str, exam: Eval, purpose: Purpose, *, leaves: bool) -> tuple[list[Record], list[Record]]:
    """Return passages, and answered questions that give no exam question away, which may be used for ``purpose``."""
    if not sources.find(db, ws):
        return [], []
    found = curate(mended(db, ws, purpose))
    passages, chat = (allowed(db, ws, records, purpose) for records in (found.passages, found.chat))
    if leaves:
        passages, chat = (allowed(db, ws, records, "send_outside") for records in (passages, chat))
        may = {source.id for source in sources.permitted(db, ws, "send_outside")}
        passages, chat = ([r for r in records if set(r.sources) <= may] for records in (passages, chat))
    return passages, list(seal(chat, exam.items).kept)


async def _train(context: Context, db: Database, settings: Settings, exam: Eval, base: ModelVersion) -> JSON:
    """Train briefly; return the version, empty if there is too little to learn from, and the seconds."""
    ws = context.job.workspace
    _, chat = await asyncio.to_thread(_texts, db, ws, exam, "train", leaves=False)
    version, _ = await asyncio.to_thread(datasets.write, db, ws, "advice", chat, "train", {"advice": context.job.id})
    try:
        spec: JSON = {"dataset": version.id, "base": base.id, "name": f"{ws} {context.job.id}", "epochs": _SHORT_EPOCHS}
        made = await run_training(context, db, settings, spec)
    except TooFewSamples:
        return {"model": "", "seconds": 0.0}
    return {"model": made["model"], "seconds": float(made["seconds"])}
