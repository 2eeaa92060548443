"""A training job: dataset version in, model version out; each step may run again.

It knows the store, the training process and lineage. It does not know exams, verdicts or endpoints.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal

from feilun.compute import Command, Context, Process, ensure_space, threads
from feilun.engines.identity import adapter_identity, base_identity
from feilun.errors import BadModel, BadRequest, TooFewSamples
from feilun.records import JSON, ModelVersion, content_hash
from feilun.settings import Settings
from feilun.store import datasets, lineage, models
from feilun.store.access import revoked
from feilun.store.database import Database
from feilun.training.estimate import estimate, note_speed
from feilun.training.plan import Plan
from feilun.training.recipes import DEFAULTS, METHODS, numbers, samples_of, ungradable
from feilun.training.replay.prompts import replay_file

MINIMUM = 10
# Large products are made and dropped at every step: memory that is given back each time must be cleared each time.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "TOKENIZERS_PARALLELISM": "false",
}
PLACES = {"base", "samples", "held_out", "replay", "out", "scratch", "start", "threads", "named"}
HINT = "Add question/answer pairs."
HINTS = {
    "cpt": "Add documents: a set of passages.",
    "dpo": "Add preferences: an answer that was liked better and one that was not, to the same question.",
    "reward": "Add preferences: an answer that was liked better and one that was not, to the same question.",
    "kto": "Add answers that were liked and answers that were not.",
}
Progress = Callable[[JSON], None]
ROOM_BYTES = 300 << 20
EVENT_EVERY = 5


async def run_training(
    context: Context, db: Database, settings: Settings, spec: JSON, progress: Progress = lambda _: None
) -> JSON:
    """Train an adapter and register it as a model version; return ``{"model", "tokens", "loss", "seconds"}``.

    ``spec``: ``dataset`` (version id), ``base`` (model id); optional ``method`` (``supervised``) and its ``options``,
    ``held_out`` (a dataset version), ``start`` (the version to go on from), ``name``, ``seed``, ``replay`` (True), and
    any of the plan's ``epochs``, ``learning_rate``, ``rank`` … (0 or absent lets the recipe choose). ``progress`` gets
    every message of the training process. Raises TooFewSamples, BadModel, BadRequest, OutOfSpace, Cancelled.
    """
    job, ws = context.job.id, context.job.workspace
    root = settings.root
    folder = root / "jobs" / job
    base = await asyncio.to_thread(models.get, db, ws, spec["base"])
    if spec.get("start"):
        await asyncio.to_thread(revoked.check, db, ws, spec["start"])
    _check_method(spec)
    await asyncio.to_thread(_with_reward, db, ws, spec)
    if base.kind != "base":
        raise BadModel(f"{base.id} is not a base model.", "Train on a base model.")

    async def prepare() -> JSON:
        return await asyncio.to_thread(_write_samples, db, ws, spec, folder)

    async def fit() -> JSON:
        ensure_space(root, ROOM_BYTES, "Training")
        await prepare()  # again, for what was revoked since: a run that was killed goes on with what it may have now
        start = (await asyncio.to_thread(models.get, db, ws, spec["start"])).folder if spec.get("start") else ""
        plan = _plan(settings, base, await asyncio.to_thread(_with_reward, db, ws, spec), folder, start)
        plan.write(folder / "plan.json")
        await asyncio.to_thread(_announce, context, plan, root / "models", progress)
        fitted = await _fit(context, plan, folder, root / "logs" / f"{job}.log", progress)
        await asyncio.to_thread(note_speed, root / "models", plan, fitted)
        return fitted

    async def register() -> JSON:
        return await asyncio.to_thread(_register, db, context, base, spec, folder)

    await context.step(f"{job}:samples", prepare)
    fitted = await context.step(f"{job}:fit", fit)
    registered = await context.step(f"{job}:register", register)
    for scratch in folder.glob("scratch*"):
        shutil.rmtree(scratch, ignore_errors=True)
    return {**fitted, **registered}


def _check_method(spec: JSON) -> None:
    """Raise BadSetting for a method that there is not, BadRequest for an option that it does not take."""
    method = str(spec.get("method") or "supervised")
    METHODS.check(method)
    numbers(method, spec.get("options") or {})


def _with_reward(db: Database, ws: str, spec: JSON) -> JSON:
    """Return the spec with the place of the reward model that its options name; raise NotFound, Forbidden, BadModel."""
    options = dict(spec.get("options") or {})
    if not options.get("reward_model"):
        return spec
    found = models.get(db, ws, str(options["reward_model"]))
    revoked.check(db, ws, found.id)
    if found.meta.get("method") != "reward" or found.base != spec["base"]:
        raise BadModel(f"{found.id} is no reward model on this base.", "Train one with the method reward.")
    return {**spec, "options": {**options, "reward_model": found.folder}}


def foresee(db: Database, settings: Settings, ws: str, spec: JSON) -> JSON:
    """Return what a job of this ``spec`` will take, before there is one; raise what the job would raise at once.

    Keys: ``samples``, ``tokens``, ``steps``, ``seconds``, ``memory`` and ``disk`` (bytes), ``measured``.
    """
    _check_method(spec)
    base = models.get(db, ws, spec["base"])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write_samples(db, ws, spec, folder)
        plan = _plan(settings, base, spec, folder, "")
        return asdict(estimate(plan, settings.root / "models"))


def _announce(context: Context, plan: Plan, home: Path, progress: Progress) -> None:
    """Say what the training will take, before it starts."""
    found = estimate(plan, home)
    text = f"{found.tokens} tokens in {found.steps} steps: about {found.seconds / 60:.0f} minutes."
    progress({"estimate": asdict(found)})
    context.event(text, type="message", estimate=asdict(found))


def _write_samples(db: Database, ws: str, spec: JSON, folder: Path) -> JSON:
    lines = _samples(db, ws, spec, "dataset", folder / "samples.jsonl", MINIMUM)
    if spec.get("held_out"):
        _samples(db, ws, spec, "held_out", folder / "held_out.jsonl", 1)
    return {"samples": lines}


def _samples(db: Database, ws: str, spec: JSON, which: str, file: Path, least: int) -> int:
    method = spec.get("method") or "supervised"
    records = datasets.read(db, ws, spec[which], "train")
    if grader := (spec.get("options") or {}).get("grader"):
        wrong = ungradable(method, grader, records)
        if wrong:
            raise BadRequest(f"The samples cannot be graded: {wrong}.", "Add it to every line.", "grader")
    found = [json.dumps(one, ensure_ascii=False) for one in samples_of(method, records)]
    different = len(set(found))
    if different < least:
        same = f", {different} of them different" if different < len(found) else ""
        raise TooFewSamples(
            f"There are {len(found)} samples to train on{same}; at least {least} are needed.", HINTS.get(method, HINT)
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".part")
    fresh.write_text("".join(line + "\n" for line in found), encoding="utf-8")
    fresh.replace(file)
    return len(found)


def _plan(settings: Settings, base: ModelVersion, spec: JSON, folder: Path, start: str) -> Plan:
    names = {field.name for field in fields(Plan)} - PLACES
    unknown = set(spec) - names - {"dataset", "base", "replay", "start", "held_out"}
    if unknown:
        raise BadRequest(
            f"A training job takes no {', '.join(sorted(unknown))}.", f"It takes {', '.join(sorted(names))}."
        )
    chosen: dict[str, Any] = {name: spec[name] for name in names if spec.get(name)}
    if settings.epochs and "epochs" not in chosen:
        chosen["epochs"] = settings.epochs
    named = tuple(sorted(chosen))
    plan = Plan(
        base=base.folder,
        samples=str(folder / "samples.jsonl"),
        replay="",
        out=str(folder / "out"),
        scratch=str(folder / "scratch"),
        start=start,
        threads=settings.threads,
        held_out=str(folder / "held_out.jsonl") if spec.get("held_out") else "",
        named=named,
        **{**DEFAULTS.get(chosen.get("method", "supervised"), {}), **chosen},
    )
    if not spec.get("replay", True) or not plan.replay_share:
        return plan
    return replace(plan, replay=str(replay_file(settings.root, base.id, plan.replay_prompts, plan.replay_tokens)))


async def _fit(context: Context, plan: Plan, folder: Path, log: Path, progress: Progress) -> JSON:
    """Run the training process to its end and pass on what it says."""
    last: JSON = {}

    def listen(message: JSON) -> None:
        progress(message)
        step = message.get("step", 0)
        if message.get("done"):
            kept = {name: value for name, value in message.items() if name not in {"done", "losses"}}
            last.update(kept, loss=message["losses"])
        elif "loss" in message and (step % EVENT_EVERY == 0 or step == message["total"] or step == 1):
            context.event(
                f"Step {step}/{message['total']}: training loss={message['loss']:.3f}", type="metrics", **message
            )
        elif "warning" in message:
            context.event(message["warning"], "warn", type="message")
        elif "note" in message:
            context.event(message["note"], type="message")

    count = threads(plan.threads)
    command = Command(
        "the training process",
        (sys.executable, "-m", "feilun.training.run", str(folder / "plan.json")),
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
    """Name what was made by what it is, move it to its place, and note what it was made of."""
    ws, job = context.job.workspace, context.job.id
    made = folder / "out"
    home = folder.parents[1] / "models"
    source = made if made.is_dir() else home / str(json.loads((folder / "model.json").read_text())["id"])
    whole = not (source / "adapter_config.json").is_file()
    identity = base_identity(source) if whole else adapter_identity(base.identity, source)
    model_id = f"model-{content_hash([ws, identity])[:26]}"
    final = home / model_id
    (folder / "model.json").write_text(json.dumps({"id": model_id}), encoding="utf-8")
    if made.is_dir():
        if final.is_dir():
            made.replace(made.with_name(f"scratch-{job}"))  # at once: a kill must not leave half of it under its name
        else:
            made.replace(final)
    name = str(spec.get("name") or model_id)
    meta = {"job": job, **spec}
    kind: Literal["base", "adapter"] = "base" if whole else "adapter"
    models.add(db, ModelVersion(model_id, ws, name, kind, base.id, str(final), identity, meta=meta))
    edges = [(spec["dataset"], job, "trained on"), (base.id, job, "based on"), (job, model_id, "made")]
    if spec.get("start"):
        edges.append((spec["start"], job, "continued"))
    if reward := (spec.get("options") or {}).get("reward_model"):
        edges.append((reward, job, "rewarded"))
    checkpoints = []
    for place in sorted((final / "checkpoints").glob("step-*")):
        identity = adapter_identity(base.identity, place)
        step_id = f"model-{content_hash([ws, identity])[:26]}"
        meta = {"job": job, **spec, "checkpoint": int(place.name.removeprefix("step-"))}
        title = f"{name} {place.name}"
        models.add(db, ModelVersion(step_id, ws, title, "adapter", base.id, str(place), identity, meta=meta))
        edges.append((job, step_id, "made"))
        checkpoints.append(step_id)
    lineage.link(db, ws, edges)
    return {"model": model_id, "checkpoints": checkpoints} if checkpoints else {"model": model_id}
