"""``python bench/clean_dirty``: makes the folder a package, so that its modules find each other, and runs ``compare``.

Does not know anything else.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)
runpy.run_module("clean_dirty.compare", run_name="__main__")
