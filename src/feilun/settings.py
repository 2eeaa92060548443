"""Every setting: name, type, default, help; frozen after load; unknown keys refused, all mistakes reported together.

Settings come from the table below, then a TOML file (``feilun.toml`` in this folder, or ``--settings``), then the
environment (``FEILUN_PORT=8700``), then the command line. This module reads them. It does not know what they are for.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from feilun.errors import BadSetting

_MASTER_KEY = "FEILUN_MASTER_KEY"  # a secret, and no setting: settings are shown


def _setting(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one Feilun home."""

    home: str = _setting("feilun-data", "folder that holds everything that outlives a process")
    database: str = _setting("", "database URL; empty is SQLite in the home folder, or postgresql+pg8000://…")
    host: str = _setting("127.0.0.1", "address that the gateway listens on")
    port: int = _setting(8600, "port that the gateway listens on")
    model: str = _setting("smollm2-135m-instruct", "base model: a name, a Hugging Face folder or a GGUF file")
    engine: str = _setting("torch", "engine that serves local models: torch, or fake for trials without a model")
    threads: int = _setting(0, "processor threads for training and serving; 0 is all cores")
    batch: int = _setting(64, "calls that the engine answers together")
    memory: float = _setting(0.0, "memory for local models together, in GiB; 0 is half of the machine's")
    embedding: str = _setting("multilingual-e5-small", "model behind /v1/embeddings; empty is none")
    currency: str = _setting("CNY", "what prices and budgets are counted in")
    private_hosts: str = _setting("", "hosts of private networks that providers may be at, separated by commas")
    metrics_token: str = _setting("", "token that reads /metrics of all workspaces; a key reads its own workspace's")
    telemetry: str = _setting("", "OpenTelemetry (OTLP/HTTP) address that traces are sent to; empty is off")
    log_calls: bool = _setting(False, "write a line of JSON into the log for each call")
    log_prompts: bool = _setting(False, "write prompts and answers into these lines, too")
    context: int = _setting(2048, "longest prompt plus answer, in tokens")
    general: int = _setting(240, "everyday questions in the general exam")
    minimum_samples: int = _setting(20, "question/answer pairs that a turn needs at least")
    pass_mark: float = _setting(0.3, "what a new model must answer right of its own exam to be used (share, 0-1)")
    margin: float = _setting(0.10, "how much worse the general exam may be (share, 0-1)")
    guards: str = _setting("", "ready exams that a new model must not do worse in, separated by commas; all is all")
    epochs: int = _setting(0, "training passes over the samples; 0 lets the recipe choose")
    canary: int = _setting(200, "calls a week from which on a new version gets a share first; 0 always, -1 never")
    tolerance: float = _setting(0.05, "largest difference in log-probability between trainer and engine (nats)")
    language: str = _setting("", "language of messages: en or zh; empty follows the terminal")

    @property
    def root(self) -> Path:
        """The home folder as an absolute path."""
        return Path(self.home).expanduser().absolute()


def table() -> list[tuple[str, str, Any, str]]:
    """Return (name, type, default, help) of every setting."""
    return [(f.name, str(f.type), f.default, str(f.metadata["help"])) for f in fields(Settings)]


def load(
    file: Path | None = None, environment: Mapping[str, str] | None = None, given: Mapping[str, Any] | None = None
) -> Settings:
    """Return the settings from file, environment and command line; raise BadSetting that lists every mistake."""
    values: dict[str, Any] = {}
    mistakes: list[str] = []
    environment = os.environ if environment is None else environment
    path = file or Path("feilun.toml")
    if file is not None or path.is_file():
        try:
            values.update(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            mistakes.append(f"{path}: {error}")
    prefixed = {k[7:].lower(): v for k, v in environment.items() if k.startswith("FEILUN_") and k != _MASTER_KEY}
    values.update(prefixed)
    values.update({k: v for k, v in (given or {}).items() if v is not None})
    defaults = {name: default for name, _, default, _ in table()}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in defaults:
            mistakes.append(f"{name}: no such setting (choices: {', '.join(sorted(defaults))})")
            continue
        try:
            checked[name] = _as(type(defaults[name]), value)
        except (TypeError, ValueError):
            mistakes.append(f"{name}: {value!r} is not a {type(defaults[name]).__name__}")
    if checked.get("language", "") not in {"", "en", "zh"}:
        mistakes.append(f"language: {checked['language']!r} is neither en nor zh")
    if not 0 <= checked.get("port", 1) <= 65535:
        mistakes.append(f"port: {checked['port']} is not between 0 and 65535")
    if not 0 < checked.get("margin", 0.1) < 1:
        mistakes.append(f"margin: {checked['margin']} is not a share between 0 and 1 (0.1 is ten points)")
    if not 0 <= checked.get("memory", 0.0) < 1e6:
        mistakes.append(f"memory: {checked['memory']} is no number of GiB")
    if not 0 <= checked.get("pass_mark", 0.3) <= 1:
        mistakes.append(f"pass_mark: {checked['pass_mark']} is not a share from 0 to 1 (0.3 is 30 %)")
    if mistakes:
        raise BadSetting("Settings that cannot be used: " + "; ".join(mistakes), "See feilun settings.")
    return Settings(**checked)


def _as(kind: type, value: Any) -> Any:
    if kind is bool and isinstance(value, str):
        word = value.strip().lower()
        if word not in {"true", "1", "yes", "on", "false", "0", "no", "off"}:
            raise ValueError(value)
        return word in {"true", "1", "yes", "on"}
    return kind(value)
