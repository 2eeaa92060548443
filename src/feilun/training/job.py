"""A training job: dataset version in, model version out; each step may run again.

It knows the store, the training process and lineage. It does not know exams, verdicts or endpoints.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from feilun.compute import Command, Context, Process, ensure_space, threads
from feilun.engines.identity import adapter_identity
from feilun.errors import BadModel, BadRequest, TooFewSamples
from feilun.records import JSON, ModelVersion, content_hash
from feilun.settings import Settings
from feilun.store import datasets, lineage, models
from feilun.store.access import revoked
from feilun.store.database import Database
from feilun.training.plan import Plan

MINIMUM = 10
# Large products are made and dropped at every step: memory that is given back each time must be cleared each time.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "TOKENIZERS_PARALLELISM": "false",
}
Progress = Callable[[JSON], None]
ROOM_BYTES = 300 << 20
EVENT_EVERY = 5


async def run_training(
    context: Context, db: Database, settings: Settings, spec: JSON, progress: Progress = lambda _: None
) -> JSON:
    """Train an adapter and register it as a model version; return ``{"model", "tokens", "loss", "seconds"}``.

    ``spec``: ``dataset`` (version id), ``base`` (model id); optional ``start`` (the version to go on from), ``name``,
    ``seed``, ``replay`` (True), and any of the plan's ``epochs``, ``learning_rate``, ``rank`` … (0 or absent lets the
    recipe choose). ``progress`` gets every message of the training process. Raises TooFewSamples, BadModel,
    BadRequest, OutOfSpace, Cancelled.
    """
    job, ws = context.job.id, context.job.workspace
    root = settings.root
    folder = root / "jobs" / job
    base = await asyncio.to_thread(models.get, db, ws, spec["base"])
    if spec.get("start"):
        await asyncio.to_thread(revoked.check, db, ws, spec["start"])
    if base.kind != "base":
        raise BadModel(f"{base.id} is not a base model.", "Train on a base model.")

    async def prepare() -> JSON:
        return await asyncio.to_thread(_write_samples, db, ws, spec, folder)

    async def fit() -> JSON:
        ensure_space(root, ROOM_BYTES, "Training")
        await prepare()  # again, for what was revoked since: a run that was killed goes on with what it may have now
        start = (await asyncio.to_thread(models.get, db, ws, spec["start"])).folder if spec.get("start") else ""
        plan = _plan(settings, base, spec, folder, start)
        plan.write(folder / "plan.json")
        return await _fit(context, plan, folder, root / "logs" / f"{job}.log", progress)

    async def register() -> JSON:
        return await asyncio.to_thread(_register, db, context, base, spec, folder)

    await context.step(f"{job}:samples", prepare)
    fitted = await context.step(f"{job}:fit", fit)
    registered = await context.step(f"{job}:register", register)
    for scratch in folder.glob("scratch*"):
        shutil.rmtree(scratch, ignore_errors=True)
    return {**fitted, **registered}


def _write_samples(db: Database, ws: str, spec: JSON, folder: Path) -> JSON:
    records = datasets.read(db, ws, spec["dataset"], "train")
    lines = [json.dumps({"messages": list(r.messages)}, ensure_ascii=False) for r in records if r.kind == "chat"]
    if len(lines) < MINIMUM:
        raise TooFewSamples(
            f"There are {len(lines)} samples to train on; at least {MINIMUM} are needed.", "Add question/answer pairs."
        )
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / "samples.part"
    fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    fresh.replace(folder / "samples.jsonl")
    return {"samples": len(lines)}


def _plan(settings: Settings, base: ModelVersion, spec: JSON, folder: Path, start: str) -> Plan:
    names = {field.name for field in fields(Plan)} - {"base", "samples", "replay", "out", "scratch", "start", "threads"}
    unknown = set(spec) - names - {"dataset", "base", "replay", "start"}
    if unknown:
        raise BadRequest(
            f"A training job takes no {', '.join(sorted(unknown))}.", f"It takes {', '.join(sorted(names))}."
        )
    chosen: dict[str, Any] = {name: spec[name] for name in names if spec.get(name)}
    if settings.epochs and "epochs" not in chosen:
        chosen["epochs"] = settings.epochs
    replay = settings.root / "models" / "replay" / f"{base.id}.jsonl"
    return Plan(
        base=base.folder,
        samples=str(folder / "samples.jsonl"),
        replay=str(replay) if spec.get("replay", True) else "",
        out=str(folder / "out"),
        scratch=str(folder / "scratch"),
        start=start,
        threads=settings.threads,
        **chosen,
    )


async def _fit(context: Context, plan: Plan, folder: Path, log: Path, progress: Progress) -> JSON:
    """Run the training process to its end and pass on what it says."""
    last: JSON = {}

    def listen(message: JSON) -> None:
        progress(message)
        step = message.get("step", 0)
        if message.get("done"):
            last.update(tokens=message["tokens"], loss=message["losses"], seconds=message["seconds"])
        elif "loss" in message and (step % EVENT_EVERY == 0 or step == message["total"] or step == 1):
            context.event(
                f"Step {step}/{message['total']}: training loss={message['loss']:.3f}", type="metrics", **message
            )
        elif "note" in message:
            context.event(message["note"], type="message")

    count = threads(plan.threads)
    command = Command(
        "the training process",
        (sys.executable, "-m", "feilun.training.sft", str(folder / "plan.json")),
        log,
        env={"OMP_NUM_THREADS": str(count), "HF_HUB_OFFLINE": "1", **ENVIRONMENT},
        ready_seconds=0,
        background=True,  # whoever is waiting for an answer goes first
    )
    async with Process(command, on_message=listen) as process:
        code = await process.wait()
    if code or not last:
        raise BadModel(f"The training process ended with code {code}.", f"Its last words are in {log}.")
    return last


def _register(db: Database, context: Context, base: ModelVersion, spec: JSON, folder: Path) -> JSON:
    """Name the adapter by what it is, move it to its place, and note what it was made of."""
    ws, job = context.job.workspace, context.job.id
    made = folder / "out"
    home = folder.parents[1] / "models"
    source = made if made.is_dir() else home / str(json.loads((folder / "model.json").read_text())["id"])
    identity = adapter_identity(base.identity, source)
    model_id = f"model-{content_hash([ws, identity])[:26]}"
    final = home / model_id
    (folder / "model.json").write_text(json.dumps({"id": model_id}), encoding="utf-8")
    if made.is_dir():
        if final.is_dir():
            made.replace(made.with_name(f"scratch-{job}"))  # at once: a kill must not leave half of it under its name
        else:
            made.replace(final)
    name = str(spec.get("name") or model_id)
    model = ModelVersion(model_id, ws, name, "adapter", base.id, str(final), identity, meta={"job": job, **spec})
    models.add(db, model)
    edges = [(spec["dataset"], job, "trained on"), (base.id, job, "based on"), (job, model_id, "made")]
    if spec.get("start"):
        edges.append((spec["start"], job, "continued"))
    lineage.link(db, ws, edges)
    return {"model": model_id}
