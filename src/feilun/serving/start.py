"""Start the engine that the settings name, and say beforehand how much memory it will take.

It knows the choices, commands and model files; it does not know what runs already, or what is asked of an engine.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from pathlib import Path

from feilun.compute import Command, Process, Restart, threads
from feilun.engines import Engine
from feilun.engines.fake import FakeEngine
from feilun.engines.models import ensure_base
from feilun.errors import BadModel, BadSetting
from feilun.records import ModelVersion
from feilun.serving.client import TOKEN_VARIABLE, ProcessEngine
from feilun.settings import Settings

MODULES = {"fake": "feilun.serving.fake_worker", "torch": "feilun.serving.worker"}
CHOICES = tuple(MODULES)
EMBEDDING_MODULE = "feilun.serving.embed_worker"
PROCESS_BYTES = 300 << 20  # an engine without a model: Python and its libraries
EMBEDDING_BYTES = 200 << 20
FLOAT_BYTES = 4  # whatever the files hold, it is computed in float32
CACHED_CALLS = 8  # calls of full length that the cache is expected to hold
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "F8_E4M3": 1}


async def start_engine(
    settings: Settings, root: Path, *, keep_up: bool = True, base: ModelVersion | None = None
) -> Engine:
    """Return an engine of ``base`` (else of the settings' model) that is ready; ``keep_up`` restarts it after a crash.

    Raises BadSetting for an unknown engine, BadModel for a base that cannot be used, EngineDown with the log's path.
    """
    if settings.engine == "fake":
        return FakeEngine()
    check_choice(settings)
    served = base if base is not None else await asyncio.to_thread(ensure_base, root, settings.model)
    command, token = engine_command(settings, served, root / "logs" / "engine.log")
    process = Process(command, restart=Restart(at_once=True) if keep_up else None)
    await process.start()
    return ProcessEngine(process, token, served.folder)


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


def estimate(folder: Path, slots: int, context: int) -> int:
    """Return the bytes that serving the model of ``folder`` will take; raise BadModel if its files do not say."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        heads = int(config["num_attention_heads"])
        width = int(config.get("head_dim") or config["hidden_size"] // heads)
        a_token = 2 * int(config["num_hidden_layers"]) * int(config.get("num_key_value_heads") or heads) * width
        weights = sum(_numbers(file) for file in folder.glob("model*.safetensors"))
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise BadModel(f"The model in {folder} does not say how large it is: {error}.", "Fetch it again.") from error
    tokens = min(slots, CACHED_CALLS) * min(context, int(config.get("max_position_embeddings", context)))
    return PROCESS_BYTES + FLOAT_BYTES * (weights + a_token * tokens)


def _numbers(file: Path) -> int:
    """Return how many numbers a safetensors file says that it holds."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        if size > file.stat().st_size:
            raise ValueError(f"{file.name} is truncated")
        header = json.loads(stream.read(size))
    total = 0
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            total += (int(end) - int(begin)) // _WIDTHS.get(str(entry["dtype"]), 2)
    return total
