"""``python bench/personal``: measures, prints the table, writes it. Does not know how anything is measured."""

from __future__ import annotations

import sys

from ratios import report, row

from . import english
from .compare import chinese_rows, english_rows, speed_rows


def main() -> int:
    """Measure everything; return 1 if a must is missed."""
    found = [*chinese_rows(), *speed_rows()]
    if english.DATA.is_dir():
        found += english_rows()
    else:
        print(f"no English data at {english.DATA}: not compared")
    rows = [row(*one) for one in found]
    report(english.HERE.parent / "out" / "personal.json", rows)
    return 0 if all(one["met"] for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
