"""Feilun in the run: homes with keys, endpoints, limits and prices, the gateway on its core, and an engine to compare.

Knows how Feilun is configured and started. Does not know what is measured.

Everything that costs something at work is on: every call has a key, is held against limits and budgets of its
workspace, key and endpoint, has a price, and leaves usage and a trace.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import torch
from peers import MODEL, Gate
from programs import BenchError, Program, Programs, free_port

from feilun.engines.adapters import write_adapter
from feilun.engines.decoder import Decoder
from feilun.engines.models import ensure_base
from feilun.records import JSON, Endpoint, Key, Limit, LimitScope, ModelVersion, Provider, Target, new_id
from feilun.serving.start import MODULES, engine_command
from feilun.settings import Settings
from feilun.store import changes, open_database, workspaces
from feilun.store.database import insert
from feilun.store.schema import ENDPOINTS, KEYS, LIMITS, PROVIDERS, to_row

WORKSPACE = "bench"
START_SECONDS, LOAD_SECONDS = 90.0, 300.0
PLENTY = 10**15  # of tokens and of nano-units of money: counted, never reached
PRICE_IN, PRICE_OUT = 1000, 2000
ENGINES = tuple(f"-m {module}" for module in MODULES.values())
RANK = 8


def _limit(scope: LimitScope, target: str) -> Limit:
    return Limit(
        new_id("limit"),
        WORKSPACE,
        scope,
        target,
        requests_per_minute=PLENTY,
        tokens_per_minute=PLENTY,
        concurrent=100_000,
        tokens_per_day=PLENTY,
        money_per_month=PLENTY,
    )


def _set_up(home: Path, upstream: int, keys: int, endpoints: int) -> tuple[list[str], list[str]]:
    """Fill a new home; return the secrets of its keys and the names of its endpoints, all to ``upstream``."""
    provider = Provider(new_id("provider"), WORKSPACE, "upstream", "openai", f"http://127.0.0.1:{upstream}/v1")
    target = Target(MODEL, provider.name, price_in=PRICE_IN, price_out=PRICE_OUT)
    names = [f"{MODEL}-{number}" for number in range(endpoints)]
    secrets = [f"fl-bench-{number:032d}" for number in range(keys)]
    made = [
        Key(new_id("key"), WORKSPACE, f"key {number}", "viewer", hashlib.sha256(secret.encode()).hexdigest(), "fl-…")
        for number, secret in enumerate(secrets)
    ]
    limits = [_limit("workspace", WORKSPACE)]
    limits += [_limit("key", key.id) for key in made]
    limits += [_limit("endpoint", name) for name in names]
    db = open_database(home)
    try:
        workspaces.ensure(db, WORKSPACE)
        with db.writing() as conn:
            insert(conn, PROVIDERS, [to_row(provider)])
            insert(conn, ENDPOINTS, [to_row(Endpoint(new_id("endpoint"), WORKSPACE, n, (target,))) for n in names])
            insert(conn, KEYS, [to_row(key) for key in made])
            insert(conn, LIMITS, [to_row(limit) for limit in limits])
            changes.bump(conn)
    finally:
        db.close()
    return secrets, names


def _up(programs: Programs, home: Path, core: int | None, settings: JSON) -> tuple[Program, int]:
    """Start ``feilun up`` for ``home``, and wait until it listens."""
    port = free_port()
    given = {"home": str(home), "port": port, **settings}
    file = home / "bench.toml"
    file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items()), encoding="utf-8")
    argv = [str(Path(sys.executable).with_name("feilun")), "up", "--settings", str(file)]
    program = programs.start(home.name, argv, core, engines=ENGINES)
    program.wait_for(port, START_SECONDS)
    return program, port


def start_feilun(programs: Programs, core: int, upstream: int, keys: int = 1, endpoints: int = 1) -> Gate:
    """Start Feilun on ``core`` before ``upstream``; raise BenchError if it does not come up."""
    home = programs.folder / f"feilun-{keys}"
    home.mkdir()
    secrets, names = _set_up(home, upstream, keys, endpoints)
    settings = {"engine": "fake", "embedding": "", "private_hosts": "127.0.0.1"}
    program, port = _up(programs, home, core, settings)
    gate = Gate("Feilun" if keys == 1 else f"Feilun with {keys:,} keys", port, program, 0, tuple(secrets), tuple(names))
    ask(gate)
    return gate


def ask(gate: Gate, seconds: float = 60.0) -> None:
    """Ask with the last key and endpoint until there is an answer; raise BenchError that says what came instead."""
    until = time.monotonic() + seconds
    body = {"model": gate.models[-1], "messages": [{"role": "user", "content": "Ready?"}], "max_tokens": 2}
    url = f"http://127.0.0.1:{gate.port}/v1/chat/completions"
    said = ""
    while time.monotonic() < until:
        with suppress(httpx.HTTPError):
            headers = {"Authorization": f"Bearer {gate.keys[-1]}"}
            answer = httpx.post(url, json=body, headers=headers, timeout=seconds, trust_env=False)
            if answer.status_code == 200:
                return
            said = f"{answer.status_code} {answer.text[:500]}"
        time.sleep(0.5)
    log = gate.program.tail() if gate.program is not None else ""
    raise BenchError(f"{gate.name} does not answer: {said}\n{log}")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine's process, called directly: ``base``, ``one`` adapter, ``many`` adapters; ``feilun`` before its like.

    The two engines are the same program with the same model; the one that is not asked does nothing.
    """

    base: Gate
    one: Gate
    many: Gate
    feilun: Gate


def start_engine(programs: Programs, models: Path, adapters: int) -> Engine:
    """Start the default model's engine twice: by itself with adapters of random factors, and behind Feilun.

    ``models`` is a home that may hold the prepared model already.
    """
    home = programs.folder / "feilun-engine"
    home.mkdir()
    models.mkdir(parents=True, exist_ok=True)
    (home / "models").symlink_to(models, target_is_directory=True)
    settings = Settings(home=str(home))
    base = ensure_base(home, settings.model)
    direct = _start_direct(programs, settings, base)
    names = _add_adapters(direct, Path(base.folder), programs.folder / "adapters", adapters)
    key = direct.keys
    secrets, _ = _set_up(home, direct.port, 1, 1)
    program, port = _up(programs, home, None, {"embedding": ""})
    feilun = Gate("Feilun before an engine", port, program, 0, tuple(secrets), (settings.model,))
    ask(feilun, LOAD_SECONDS)
    return Engine(
        direct,
        Gate("one adapter", direct.port, None, 0, key, names[:1]),
        Gate("adapters", direct.port, None, 0, key, names),
        feilun,
    )


def _start_direct(programs: Programs, settings: Settings, base: ModelVersion) -> Gate:
    command, token = engine_command(settings, base, programs.folder / "engine.log")
    program = programs.start("engine", command.argv, None, {**command.env, "PYTHONUNBUFFERED": "1"})
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and program.process.poll() is None:
        for line in program.tail().splitlines():
            with suppress(ValueError, KeyError, TypeError):
                gate = Gate("engine", int(json.loads(line)["ready"]["port"]), program, 0, (token,), (base.id,))
                _load(gate, base.id, Path(base.folder), None)
                return gate
        time.sleep(0.2)
    raise BenchError(f"The engine does not start. Its log ends with:\n{program.tail()}")


def _load(gate: Gate, model: str, base: Path, adapter: Path | None) -> None:
    body = {"model": model, "folder": str(base), "adapter": str(adapter) if adapter else ""}
    headers = {"Authorization": f"Bearer {gate.keys[0]}"}
    url = f"http://127.0.0.1:{gate.port}/load"
    answer = httpx.post(url, json=body, headers=headers, timeout=LOAD_SECONDS, trust_env=False)
    if answer.status_code != 200:
        raise BenchError(f"The engine does not load {model}: {answer.status_code} {answer.text[:500]}")


def _add_adapters(gate: Gate, base: Path, folder: Path, count: int) -> tuple[str, ...]:
    """Load adapters of random factors, too small to change an answer much; return their names."""
    products = Decoder(base, torch.float32).products
    for number in range(count):
        factors = {
            (layer, name): (torch.randn(RANK, weight.shape[1]) * 1e-3, torch.randn(weight.shape[0], RANK) * 1e-3)
            for layer, one in enumerate(products)
            for name, weight in one.items()
        }
        adapter = folder / f"adapter-{number}"
        write_adapter(adapter, factors, RANK, RANK)
        template = base / "chat_template.jinja"
        (adapter / template.name).write_bytes(template.read_bytes())
        _load(gate, adapter.name, base, adapter)
    return tuple(f"adapter-{number}" for number in range(count))
