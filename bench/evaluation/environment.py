"""The environment of lm-evaluation-harness, made at first use beside ours, whose torch and transformers it takes.

Knows how it is installed. Does not know what it is asked.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "out"
PACKAGE = "lm_eval==0.4.13"
SECONDS = 1200


class PeerError(Exception):
    """The peer cannot be had or failed; the text says why."""


def run(command: list[str], env: dict[str, str] | None = None, seconds: float = SECONDS) -> str:
    """Run to the end and return what was printed; raise PeerError with the end of what was complained."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds, env=env)
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"{Path(command[0]).name} took more than {seconds:.0f} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        raise PeerError(" ".join(lines[-3:])[-400:] or f"{command[0]} ended with {done.returncode}")
    return done.stdout


def python_of_peer() -> Path:
    """Return the Python that has the harness; raise PeerError where it cannot be installed."""
    folder = OUT / ".lm_eval"
    python, marker = folder / "bin" / "python", folder / "whole"
    if not marker.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)])
        inside = run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()
        # Ours come last on its path: the same torch and transformers for both, and nothing of ours is changed.
        (Path(inside) / "zz_ours.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        run([str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install", PACKAGE, "torch==2.13.0"])
        marker.touch()
    return python
