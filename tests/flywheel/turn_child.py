"""A turn in a process of its own, which tells its progress: ``python turn_child.py HOME BASE FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.flywheel.organisation import run_turn, settings

from feilun.store import open_database


def main(home: str, base: str, folder: str) -> None:
    """Turn, and print a line for every message."""
    made = settings(Path(home), Path(base))
    database = open_database(made.root)
    try:
        result = run_turn(database, made, Path(folder), say=lambda message: print(json.dumps(message), flush=True))
        print(json.dumps({"result": result}), flush=True)
    finally:
        database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
