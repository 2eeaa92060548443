"""``feilun exam calibrate``: how far a judge's verdicts agree with people's, from a table of both.

This module knows the table and how agreement is told. It does not know how it is worked out.
"""

from __future__ import annotations

import argparse
import json
import unicodedata
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from pathlib import Path

from feilun.cli.proof.words import say
from feilun.cli.words import Teller
from feilun.errors import BadRequest
from feilun.registry import Registry

PARTS = Registry("command's part", "local")
for _name, _target in {
    "rows": "feilun.evaluation.formats.rows:read_rows",
    "calibrate": "feilun.grading.calibration:calibrate",
}.items():
    PARTS.add(_name, _target)


def calibrate(given: argparse.Namespace, teller: Teller) -> int:
    """Say it; 1 if the judge may not stand for people."""
    if len(given.names) != 1:
        raise BadRequest("One file is needed.", "Write: feilun exam calibrate FILE, with the columns judge and human.")
    pairs = []
    for row in PARTS.load("rows")(Path(given.names[0]), given.field):
        sides = [_verdict(row.fields.get(name, "")) for name in ("judge", "human")]
        if not all(sides):
            raise BadRequest(f"{row.place} lacks a verdict.", "Each row needs the columns judge and human.")
        pairs.append(sides)
    found = PARTS.load("calibrate")([judge for judge, _ in pairs], [human for _, human in pairs])
    if given.json:
        print(json.dumps(asdict(found), ensure_ascii=False))
    else:
        low, high = found.accuracy_interval
        english = "{} verdicts, {:.1%} the same (95 % interval {:.1%} to {:.1%})."
        chinese = "{} 条评判，{:.1%} 相同（95% 区间 {:.1%} 至 {:.1%}）。"
        say(teller, english, chinese, found.pairs, found.accuracy, low, high)
        teller.say("{}", found.words[teller.language])
    return 0 if found.trusted else 1


def _verdict(value: object) -> str:
    """Return a verdict in comparable form: case, width and how a number is written (0, 0.0, false) do not count."""
    text = unicodedata.normalize("NFKC", "" if value is None else str(value)).strip().casefold()
    try:
        number = Decimal({"true": "1", "false": "0"}.get(text, text))
    except InvalidOperation:
        return text
    return str(number.normalize() + 0) if number.is_finite() else text
