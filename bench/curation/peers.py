"""data-juicer and datatrove, each in an environment of its own, on a file of rows.

Knows their packages, how their operators are chosen to do what ours do, and how long they may take. Does not know the
truth, nor ours.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "out"
# A newer torch would bring gigabytes for processors that are not here; data-juicer imports it whatever it is asked for.
HELD = "torch==2.13.0"
PACKAGES = {
    "data-juicer": ("py-data-juicer==1.6.*", "aiohttp", "ftfy", "opencc", "ray", "regex", "scipy", HELD),
    "datatrove": ("datatrove[processing]", "orjson", "spacy"),
}
SECONDS = 1500
# data-juicer installs what it misses while it runs, unless it is told that there is nothing to be had.
OFFLINE = {"UV_OFFLINE": "1", "PIP_NO_INDEX": "1", "HF_HUB_OFFLINE": "1"}

RECIPE = """
project_name: bench
dataset_path: {rows}
export_path: {folder}/rows.jsonl
work_dir: {folder}/
np: 1
open_tracer: false
use_cache: false
process:
  - fix_unicode_mapper:
  - whitespace_normalization_mapper:
  - punctuation_normalization_mapper:
  - chinese_convert_mapper: {{mode: t2s}}
  - clean_links_mapper:
  - clean_email_mapper:
  - clean_ip_mapper:
  - alphanumeric_filter: {{min_ratio: 0.25}}
  - special_characters_filter: {{max_ratio: 0.4}}
  - character_repetition_filter: {{rep_len: 10, max_ratio: 0.5}}
  - word_repetition_filter: {{rep_len: 10, max_ratio: 0.5}}
  - text_length_filter: {{min_len: 10}}
  - average_line_length_filter: {{min_len: 2}}
  - stopwords_filter: {{lang: all, min_ratio: 0.0, stopwords_dir: {folder}/words}}
  - flagged_words_filter: {{lang: all, max_ratio: 0.5, flagged_words_dir: {folder}/words}}
  - document_deduplicator: {{lowercase: true, ignore_non_character: true}}
  - document_minhash_deduplicator:
      {{tokenization: character, window_size: 5, lowercase: true, jaccard_threshold: 0.7}}
"""
# Its own lists are downloads. How long a list is costs nothing there: words are looked up in a set.
WORDS = {
    "stopwords": {
        "en": ["the", "of", "and", "to", "in", "a", "is", "for", "that", "you", "it", "with", "on", "be", "are"],
        "zh": list("的一是了不在有我他这"),
    },
    "flagged_words": {"en": ["moron", "scum", "porn", "cocaine", "roulette"], "zh": ["傻逼", "赌球", "裸聊", "冰毒"]},
}


class PeerError(Exception):
    """A peer cannot be had or failed; the text says why."""


def run(command: Sequence[str], env: Mapping[str, str] | None = None, seconds: float = SECONDS) -> str:
    """Run to the end and return what was printed, complaints last; raise PeerError with the end of these."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds, env={**os.environ, **(env or {})}
        )
    except subprocess.TimeoutExpired as error:
        raise PeerError(f"{Path(command[0]).name} took more than {seconds:.0f} s") from error
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        raise PeerError(" ".join(lines[-2:])[-300:] or f"{command[0]} ended with {done.returncode}")
    return done.stdout + "\n" + done.stderr


def python_of(peer: str) -> Path:
    """Return the Python that has a peer, installed at first use; raise PeerError where it cannot be."""
    folder = OUT / f".{peer}"
    python, marker = folder / "bin" / "python", folder / "whole"
    if not marker.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folder)])
        run([str(python), "-m", "pip", "--disable-pip-version-check", "-q", "install", *PACKAGES[peer]])
        marker.touch()
    return python


def data_juicer(rows: Path, folder: Path) -> tuple[float, list[str]]:
    """Return how many seconds data-juicer's operators took on rows, and the ids that it kept."""
    python = python_of("data-juicer")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "words").mkdir()
    for name, words in WORDS.items():
        (folder / "words" / f"{name}.json").write_text(json.dumps(words), encoding="utf-8")
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(rows=rows, folder=folder), encoding="utf-8")
    env = {**OFFLINE, "HF_HOME": str(folder / "home"), "DATA_JUICER_CACHE_HOME": str(folder / "cache")}
    told = run([str(python.with_name("dj-process")), "--config", str(recipe)], env)
    took = re.search(r"All OPs are done in ([\d.]+)s", told)
    if took is None:
        raise PeerError("data-juicer did not say how long it took")
    return float(took[1]), _ids([folder / "rows.jsonl"])


def datatrove(rows: Path, folder: Path) -> tuple[float, list[str]]:
    """Return how many seconds datatrove's MinHash took on rows, and the ids that it kept."""
    python = python_of("datatrove")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    script = Path(__file__).with_name("peer_datatrove.py")
    told = run([str(python), str(script), str(rows), str(folder)], {"HF_HUB_OFFLINE": "1"})
    took = re.search(r'^\{"seconds": ([\d.]+)\}$', told, re.MULTILINE)
    if took is None:
        raise PeerError("datatrove did not say how long it took")
    return float(took[1]), _ids(sorted((folder / "kept").glob("*.jsonl")))


def _ids(paths: Sequence[Path]) -> list[str]:
    found = []
    for path in paths:
        with path.open(encoding="utf-8") as file:
            found += [str(json.loads(line)["id"]) for line in file]
    return found
