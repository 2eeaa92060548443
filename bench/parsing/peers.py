"""The programs whose reading is compared with ours: markitdown, and docling without models.

Knows how each is installed and asked. Does not know what is measured, nor Feilun.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CONVERT = Path(__file__).resolve().parent / "convert.py"
SECONDS = 900
# Nothing may be downloaded while files are read: a proxy that is not there refuses every connection.
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9") | {
    "HF_HUB_OFFLINE": "1"
}


class PeerError(Exception):
    """A peer that cannot be installed or does not run, in plain words."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that turns files into Markdown: what pip installs, and the formats it reads without models."""

    name: str
    needs: tuple[str, ...]
    formats: frozenset[str]

    def install(self, out: Path) -> Path:
        """Return the interpreter of the peer's own environment below ``out``, made at first use; raise PeerError."""
        folder = out / f".{self.name}"
        python, done = folder / "bin" / "python", folder / "installed"
        steps = (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--disable-pip-version-check", "-q", *self.needs],
        )
        for step in () if done.is_file() else steps:
            ran = subprocess.run(step, capture_output=True, text=True, check=False)
            if ran.returncode:
                raise PeerError(f"{self.name} cannot be installed: {ran.stderr.strip()[-400:]}")
        done.touch()
        return python

    def read(self, python: Path, files: list[Path]) -> dict[str, str]:
        """Return what the peer makes of each file; raise PeerError if it does not run."""
        argv = [str(python), str(CONVERT), self.name, *map(str, files)]
        try:
            ran = subprocess.run(
                argv, capture_output=True, text=True, check=False, timeout=SECONDS, env=os.environ | OFFLINE
            )
        except subprocess.TimeoutExpired as error:
            raise PeerError(f"{self.name} took more than {SECONDS} s") from error
        if ran.returncode:
            raise PeerError(f"{self.name} does not run: {ran.stderr.strip()[-400:]}")
        found: dict[str, str] = json.loads(ran.stdout)
        return found


PEERS = (
    Peer("markitdown", ("markitdown[docx,pdf,pptx,xlsx]",), frozenset({"csv", "docx", "md", "pdf", "pptx"})),
    Peer(
        "docling",
        ("docling-slim[convert-core,format-html,format-markdown,format-office]", "pandas"),
        frozenset({"csv", "docx", "md", "pptx"}),
    ),
)
