"""A cell of the leaderboard asked once more, by an engine that starts for it.

This module knows how an engine is started for a model version. It does not know what makes two answers the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

from feilun.engines.identity import adapter_identity, base_identity
from feilun.evaluation.answered import surroundings
from feilun.evaluation.leaderboard import Rerun, rerun
from feilun.evaluation.leaderboard.rerun import newest
from feilun.evaluation.run import Progress, Save, Sitting, read_all, sit
from feilun.flywheel.proving import ANSWER_TOKENS
from feilun.records import Eval, ModelVersion
from feilun.registry import Registry
from feilun.serving import start_engine
from feilun.settings import Settings
from feilun.store import models
from feilun.store.database import Database

_LIKELIHOOD = Registry("reader of options", "local")  # needs torch
_LIKELIHOOD.add("likelihood", "feilun.engines.likelihood:Likelihood")


async def again(
    db: Database, settings: Settings, ws: str, model: str, exam: str, progress: Progress | None = None
) -> Rerun:
    """Have ``model`` answer ``exam`` again (ids or names) and compare; raises as ``newest`` and the engine do."""
    found = await asyncio.to_thread(newest, db, ws, model, exam)
    run, version = found[1:]
    base = version if version.kind == "base" else await asyncio.to_thread(models.get, db, ws, version.base)
    settings = replace(settings, model=base.folder or settings.model)
    now = {**surroundings(settings), "batch": settings.batch, "max_tokens": ANSWER_TOKENS}
    if run.meta.get("by") == "likelihood":
        precision = str(run.meta.get("inputs", {}).get("precision") or "float32")
        return await rerun(
            db, ws, found, partial(_read, base, precision, run.id), {**now, "precision": precision}, progress
        )
    engine = await start_engine(settings, settings.root)

    async def say(version: ModelVersion, asked: Eval, save: Save, how: Sitting, told: Progress | None) -> None:
        await sit(engine, version, asked, run.id, save, (), told, how)

    try:
        return await rerun(db, ws, found, say, now, progress)
    finally:
        await engine.close()


async def _read(
    base: ModelVersion,
    precision: str,
    run: str,
    version: ModelVersion,
    asked: Eval,
    save: Save,
    _how: Sitting,
    told: Progress | None,
) -> None:
    """Have options read by their likelihood, in this process."""
    adapter = Path(version.folder) if version.kind == "adapter" else None
    identity = await asyncio.to_thread(base_identity, Path(base.folder))
    if adapter:
        identity = await asyncio.to_thread(adapter_identity, identity, adapter)
    read = await asyncio.to_thread(_LIKELIHOOD.load("likelihood"), Path(base.folder), adapter, precision)
    await read_all(read, {**identity, "precision": precision}, asked, run, save, (), told)
