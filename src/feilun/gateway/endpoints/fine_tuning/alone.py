"""A training without a gateway: from a file on this machine to a model version, in the calling process.

The same file and the same wishes are the same job: one that was killed goes on, one that is done says what it made.
This module knows files, wishes and the way through a job. It does not know how they were given, nor how a model learns.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from feilun.compute import Context, run
from feilun.curation.rules import read_rules, values_of
from feilun.engines.models import ensure_base
from feilun.errors import BadRequest, BadSource, Cancelled, FeilunError, ModelNotFound
from feilun.gateway.app import create_app
from feilun.gateway.endpoints.fine_tuning.estimating import estimate
from feilun.gateway.endpoints.fine_tuning.jobs import Asked, reward_folder, spec_of
from feilun.gateway.endpoints.fine_tuning.judged import FEEDBACK, feedback_source, of_feedback
from feilun.gateway.endpoints.fine_tuning.material import Material, material
from feilun.gateway.endpoints.fine_tuning.methods import Chosen, Method, chosen
from feilun.gateway.endpoints.fine_tuning.shapes import KIND, PREFIX, TrainingRequest
from feilun.gateway.endpoints.fine_tuning.work import Work
from feilun.gateway.examples import read
from feilun.gateway.shapes import wrong_field
from feilun.records import JSON, Job, ModelVersion, Source, derived_id
from feilun.settings import Settings
from feilun.store import Database, Journal, datasets, keys, models, sources, verdicts, workspaces
from feilun.store.access import revoked

RULES = "feilun.permissions.yaml"
Progress = Callable[[JSON], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What to train on what: ``data`` is a file, or the id of a dataset version; ``method`` as in the API."""

    data: str
    method: JSON
    validation: str = ""
    base: str = ""
    start: str = ""
    name: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job that is ready to run, what it will take, and what was left out of its examples."""

    job: Job
    estimate: JSON | None
    rows: int
    notes: tuple[str, ...] = ()
    base: str = ""


def prepare(db: Database, settings: Settings, ws: str, wishes: Wishes, say: Callable[[str], None]) -> Prepared:
    """Look everything up and keep it; return the job, which may have run before. Raises what is wrong."""
    workspaces.ensure(db, ws)
    try:
        method = chosen(Method.model_validate(wishes.method), None)
        # What it is called and its seed, before any file is kept; the model and the file are looked up below.
        given = TrainingRequest(model="", training_file="", suffix=wishes.name or None, seed=wishes.seed)
    except ValidationError as error:
        wrong = wrong_field(error.errors())
        said = wrong.message.replace("suffix", "name", 1) if wrong.param == "suffix" else wrong.message
        raise BadRequest(said, "feilun train --help names what each method takes.", wrong.param) from error
    for data in (wishes.data, wishes.validation):
        if data and data != FEEDBACK and not data.startswith("dataset-"):
            check_file(Path(data), method)
    base, start = _base(db, settings, ws, wishes, say)
    taken: list[Material] = []
    files: list[Source] = []
    for data, param in ((wishes.data, "training_file"), (wishes.validation, "validation_file")):
        if not data:
            continue
        if data.startswith("dataset-"):
            version = datasets.get(db, ws, data)
            files.append(Source(data, ws, version.name, version.sha256, 0))
            taken.append(Material(version))
            continue
        if data == FEEDBACK:
            files.append(feedback_source(ws))
            taken.append(of_feedback(db, ws, f"uploads/{wishes.name or FEEDBACK}"[:190], method))
            continue
        source = keep_file(db, ws, Path(data))
        files.append(source)
        name = f"uploads/{wishes.name or source.name}"[:190] + (" (held out)" if param == "validation_file" else "")
        taken.append(material(db, source, name, method, base, param))
    rewarder = reward_folder(db, ws, version_named(db, ws, method.rewarder)) if method.rewarder else ""
    asked = Asked(method, base, start.id if start else "", files[0], files[1] if len(files) > 1 else None, rewarder)
    given = given.model_copy(update={"model": start.id if start else base.name, "training_file": files[0].id})
    spec = spec_of(given, asked, taken, "")
    spec["training"]["name"] = wishes.name
    job = Job(derived_id(PREFIX, ws, spec["request"], spec["training"]), ws, KIND, spec)
    spec["estimate"] = estimate(db, settings, ws, base, spec["training"], method.teacher)
    notes = tuple(note for each in taken for note in each.notes)
    return Prepared(job, spec["estimate"], taken[0].version.rows, notes, base.name)


def check_file(file: Path, method: Chosen) -> None:
    """Raise BadSource for a file that is not there, BadRequest that names its wrong lines."""
    if not file.is_file():
        raise BadSource(f"There is no file {file}.", "Name a file of JSON lines, or a dataset-… id.")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadSource(f"{file} cannot be read: {error.strerror}.", "Change its permissions.") from error
    read(data, file.name, "training_file", method.forms, method.name)


def keep_file(db: Database, ws: str, file: Path) -> Source:
    """Keep a training file as a source, with the permissions that lie beside it."""
    rules = file.absolute().parent / RULES
    inherited = values_of(file.absolute(), read_rules(rules)) if rules.is_file() else {}
    with file.open("rb") as stream:
        sha = hashlib.file_digest(stream, "sha256").hexdigest()
    source = Source(
        derived_id("file", ws, file.name, sha), ws, file.name, "", 0, "upload", meta={"purpose": "fine-tune"}
    )
    return sources.add(db, source, file, {}, inherited)


async def train(db: Database, settings: Settings, prepared: Prepared, progress: Progress) -> JSON:
    """Run a prepared job to its end in this process and return its result; one that is done returns it at once."""
    journal = Journal(db)
    job = await asyncio.to_thread(journal.create, prepared.job)
    if job.status == "cancelled":
        raise Cancelled(f"The job {job.id} was cancelled.", "Say another --name or --seed to train after all.")
    if job.spec.get("teacher") and job.status != "succeeded":
        return await _taught(db, settings, job, progress)
    work = Work(db, settings, None, progress)
    return await run(journal, job.id, work.run, locks=db.root / "locks")


async def _taught(db: Database, settings: Settings, job: Job, progress: Progress) -> JSON:
    """Run a job whose teacher is asked on the way of every call: with a gateway's parts, which listen nowhere."""
    key, _ = await asyncio.to_thread(keys.create, db, job.workspace, "feilun train", "builder")
    app = create_app(settings, db)

    async def work(context: Context) -> JSON:
        # The job is locked by now: what runs the jobs of a gateway passes it over.
        async with app.router.lifespan_context(app):
            return await Work(db, settings, app.state.gateway.hotpath, progress, key.id).run(context)

    try:
        return await run(Journal(db), job.id, work, locks=db.root / "locks")
    finally:
        await asyncio.to_thread(keys.revoke, db, job.workspace, key.id)


def _base(
    db: Database, settings: Settings, ws: str, wishes: Wishes, say: Callable[[str], None]
) -> tuple[ModelVersion, ModelVersion | None]:
    """Return the base, and the version to go on from, if any."""
    if wishes.start:
        start = version_named(db, ws, wishes.start)
        if start.kind == "base":
            raise BadRequest(f"{start.name} is a base.", "Say it as --base.", "start")
        revoked.check(db, ws, start.id)
        return models.get(db, ws, start.base), start
    return models.add(db, ensure_base(settings.root, wishes.base or settings.model, say)), None


def version_named(db: Database, ws: str, name: str) -> ModelVersion:
    """Return a version by its id, the name of an endpoint that serves it, or its own name (the newest); NotFound."""
    try:
        return models.get(db, ws, name)
    except FeilunError:
        deployment = verdicts.current(db, ws, name)
    if deployment is not None:
        return models.get(db, ws, deployment.model)
    found = [version for version in models.find(db, ws) if version.name == name]
    if not found:
        raise ModelNotFound(f"There is no model {name[:100]!r} in the workspace {ws}.", "feilun model list names them.")
    return max(found, key=lambda version: version.created)
