"""An environment for each peer, made at first use, and what the peers need besides packages.

Knows package names and how a model is converted for OpenVINO. Does not know how a peer is asked.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "out"
# A newer torch, or another build of it, would bring gigabytes for processors that are not here.
HELD = "torch==2.13.0"
PACKAGES = {
    "xllamacpp": ("xllamacpp",),
    "openvino": ("openvino-genai", "optimum-intel"),
}
# optimum-intel asks for it, and cannot be imported beside a build of it for another torch.
UNWANTED = {"openvino": ("torchvision",)}
SECONDS = 1200


class PeerError(Exception):
    """A peer cannot be had or failed; the text says why."""


def run(command: Sequence[str]) -> None:
    """Run to the end; raise PeerError with the end of what was complained."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"{Path(command[0]).name} took more than {SECONDS} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        raise PeerError(" ".join(lines[-2:])[-300:] or f"{command[0]} ended with {done.returncode}")


def python_of(package: str) -> Path:
    """Return the Python that has ``package`` (empty: this one); raise PeerError where it cannot be installed."""
    if not package:
        return Path(sys.executable)
    folder = OUT / f".{package}"
    python, marker = folder / "bin" / "python", folder / "whole"
    if not marker.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)])
        held = folder / "constraints.txt"
        held.write_text(HELD + "\n", encoding="utf-8")
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "-q"]
        run([*pip, "install", "--only-binary", ":all:", "-c", str(held), *PACKAGES[package]])
        if package in UNWANTED:
            run([*pip, "uninstall", "-y", *UNWANTED[package]])
        marker.touch()
    return python


def openvino_model(folder: Path, name: str) -> Path:
    """Return the model of ``folder`` as OpenVINO has it, weights as they are; ``name`` tells one model from another."""
    made = OUT / ".openvino" / f"model-{name}"
    if not made.is_dir():
        fresh = made.with_suffix(".part")
        shutil.rmtree(fresh, ignore_errors=True)
        command = python_of("openvino").with_name("optimum-cli")
        task = ("--task", "text-generation-with-past", "--weight-format", "fp16")
        run([str(command), "export", "openvino", "--model", str(folder), *task, str(fresh)])
        fresh.replace(made)
    return made
