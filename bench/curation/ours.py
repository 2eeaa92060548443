"""Ours on a file of rows: ``python ours.py RECIPE PROCESSES ROWS FOLDER``; prints seconds and peak memory as JSON.

Knows recipes and how they are run over files. Does not know the truth, nor peers. Two recipes are this bench's:
``copies``, exact and near copies and nothing else, and ``equal``, what a peer has operators for as well (the pairs are
told in ``compare``); every other name is one that Feilun brings.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import psutil

from feilun.curation.recipes import Options, curate_files, find, parse

COPIES = """
name: copies
about: {en: Copies only., zh: 仅去重。}
make: documents
rows:
  - exact_copies
  - near_copies
"""
EQUAL = """
name: equal
about: {en: What data-juicer does too., zh: 与 data-juicer 对等。}
make: documents
documents:
  - normalise
  - mojibake
  - script
rows:
  - quality
  - sensitive
  - personal: {kinds: [EMAIL, IP, URL]}
  - exact_copies
  - near_copies
"""
OWN = {"copies": COPIES, "equal": EQUAL}


class Peak:
    """The most memory (bytes) that this process and those it started had at once, looked at once a second.

    To look costs the kernel a walk through all pages: four times a second took 2 % of what was being measured.
    """

    def __init__(self) -> None:
        """Begin to look."""
        self.bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> int:
        """Stop looking and return the peak."""
        self._done.set()
        self._thread.join()
        return self.bytes

    def _look(self) -> None:
        me = psutil.Process()
        while not self._done.wait(1.0):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    # What processes share counts once.
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, total)


def run_ours(recipe: str, processes: int, rows: Path, folder: Path) -> None:
    """Run a recipe over a file of rows and leave ``rows.parquet`` and the report in ``folder``."""
    found = parse(OWN[recipe], recipe) if recipe in OWN else find(recipe)
    curate_files([rows], found, folder, Options(processes=processes))


def main() -> None:
    """Run once, measured."""
    recipe, processes, rows, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    peak = Peak()
    began = time.perf_counter()
    run_ours(recipe, processes, rows, folder)
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "peak": peak.end()}))


if __name__ == "__main__":
    main()
