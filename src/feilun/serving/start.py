"""Start the engine that the settings name. It knows the choices; it does not know what is asked of them."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path

from feilun.compute import Command, Process, Restart, threads
from feilun.engines import Engine
from feilun.engines.fake import FakeEngine
from feilun.engines.models import ensure_base
from feilun.errors import BadSetting
from feilun.records import ModelVersion
from feilun.serving.client import TOKEN_VARIABLE, ProcessEngine
from feilun.settings import Settings

MODULES = {"fake": "feilun.serving.fake_worker", "torch": "feilun.serving.worker"}
CHOICES = tuple(MODULES)
EMBEDDING_MODULE = "feilun.serving.embed_worker"


async def start_engine(settings: Settings, root: Path, *, keep_up: bool = True) -> Engine:
    """Return an engine that is ready; with ``keep_up`` its process is started again after a crash.

    Raises BadSetting for an unknown engine, BadModel for a base that cannot be used, EngineDown with the log's path.
    """
    if settings.engine == "fake":
        return FakeEngine()
    check_choice(settings)
    base = await asyncio.to_thread(ensure_base, root, settings.model)
    command, token = engine_command(settings, base, root / "logs" / "engine.log")
    process = Process(command, restart=Restart(at_once=True) if keep_up else None)
    await process.start()
    return ProcessEngine(process, token, base.folder)


def check_choice(settings: Settings) -> None:
    """Raise BadSetting for an engine that we do not have."""
    if settings.engine not in CHOICES:
        raise BadSetting(f"There is no engine named {settings.engine}.", f"Choices: {', '.join(CHOICES)}.")


def environment(settings: Settings) -> dict[str, str]:
    """Return what an engine's process must find in its environment when it imports its libraries."""
    return {"OMP_NUM_THREADS": str(threads(settings.threads)), "TOKENIZERS_PARALLELISM": "false"}


def engine_command(settings: Settings, base: ModelVersion, log: Path) -> tuple[Command, str]:
    """Return the command that serves ``base``, and the token that its process will ask for."""
    argv = (
        *(sys.executable, "-m", MODULES[settings.engine], "--base", base.folder, "--slots", str(settings.batch)),
        *("--context", str(settings.context), "--threads", str(threads(settings.threads))),
    )
    token = secrets.token_urlsafe(24)
    env = {**environment(settings), TOKEN_VARIABLE: token}
    return Command(f"the {settings.engine} engine of {base.name}", argv, log, env=env), token


def embedding_command(settings: Settings, name: str, log: Path) -> tuple[Command, str]:
    """Return the command that serves the embedding model ``name``, and the token that its process will ask for."""
    argv = (sys.executable, "-m", EMBEDDING_MODULE, "--model", name)
    token = secrets.token_urlsafe(24)
    env = {**environment(settings), TOKEN_VARIABLE: token}
    return Command(f"the embedding model {name}", argv, log, env=env), token
