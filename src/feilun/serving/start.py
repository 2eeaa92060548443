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
from feilun.serving.client import TOKEN_VARIABLE, ProcessEngine
from feilun.settings import Settings

CHOICES = ("fake", "torch")


async def start_engine(settings: Settings, root: Path, *, keep_up: bool = True) -> Engine:
    """Return an engine that is ready; with ``keep_up`` its process is started again after a crash.

    Raises BadSetting for an unknown engine, BadModel for a base that cannot be used, EngineDown with the log's path.
    """
    if settings.engine == "fake":
        return FakeEngine()
    if settings.engine != "torch":
        raise BadSetting(f"There is no engine named {settings.engine}.", f"Choices: {', '.join(CHOICES)}.")
    base = await asyncio.to_thread(ensure_base, root, settings.model)
    token, count = secrets.token_urlsafe(24), threads(settings.threads)
    argv = (
        *(sys.executable, "-m", "feilun.serving.worker", "--base", base.folder, "--slots", str(settings.batch)),
        *("--context", str(settings.context), "--threads", str(count)),
    )
    environment = {TOKEN_VARIABLE: token, "OMP_NUM_THREADS": str(count), "TOKENIZERS_PARALLELISM": "false"}
    command = Command("the torch engine", argv, root / "logs" / "engine.log", env=environment)
    process = Process(command, restart=Restart() if keep_up else None)
    await process.start()
    return ProcessEngine(process, token)
