"""Whether the wheel closes over what goes wrong in use: 500 calls, five themes, one accepted, one turn.

    python bench/insights.py [--theme dogs] [--seed 4]

Calls as the tests script them (``tests/feedback/insights``: garbled, in two languages, many of them ordinary) go into a
new home beside the sample organisation. Insights are looked for; the one about ``--theme`` is accepted with an answer
in each language; then the embedded model makes a whole turn over the sample organisation. Its exam has questions of the
theme that were held back, and other wordings of those that were taught: how many of all these are answered rightly
before and after is what ``feilun insights show`` tells. Prints the figures and writes ``bench/out/insights.json``. Does
not know how anything is found or learnt.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from feilun.curation.mask import masked
from feilun.engines.models import ensure_base
from feilun.feedback.insights import Given, accept, encoder, examined, look
from feilun.flywheel import sample_paths, turn
from feilun.records import JSON
from feilun.settings import Settings
from feilun.store import models, open_database, workspaces
from ratios import report, row

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.feedback.insights.scripted import play  # the calls of the tests, without copying them

OUT = Path(__file__).resolve().parent / "out" / "insights.json"
WS = "bench"
ANSWERS = {
    "dogs": (
        ("Dogs wait at the copper gate; only guide dogs may come in.", "狗请留在铜门外，只有导盲犬可以进馆。"),
        ("copper gate", "铜门"),
    ),
    "drones": (
        ("Drones need a yellow pass from the garden office.", "放飞无人机要先到花园办公室领黄色通行证。"),
        ("yellow pass", "黄色通行证"),
    ),
    "lockers": (
        ("Lockers for luggage stand beside the blue staircase.", "寄存柜在蓝色楼梯旁边。"),
        ("blue staircase", "蓝色楼梯"),
    ),
}


def told(step: JSON) -> None:
    """Tell how far the turn is."""
    if "step" in step and isinstance(step["step"], str):
        print(f"  {step['step']}", flush=True)


def measure(home: Path, theme: str, seed: int) -> list[JSON]:
    """Go the whole way once; return the figures."""
    settings = Settings(home=str(home))
    db = open_database(settings.root)
    try:
        workspaces.ensure(db, WS)
        models.add(db, ensure_base(settings.root, settings.model))
        script = play(db, WS, "museum", seed)
        insights = look(db, WS, masked, encoder(settings.embedding))
        named = script.found(insights)
        for one in insights:
            print(f"  {one.name}: {len(one.evidence)} calls, {one.proposal}", flush=True)
        mine = max(
            insights,
            key=lambda one: Counter(script.themes[str(part["trace"])] for part in one.evidence)[theme],
        )
        strangers = [str(part["trace"]) for part in mine.evidence if script.themes[str(part["trace"])] != theme]
        answers, words = ANSWERS[theme]
        done = accept(db, WS, mine.id, Given(answers, words, without=tuple(strangers)), masked)
        result = asyncio.run(turn(db, settings, WS, sample_paths()[:1], say=told))
        (seen,) = examined(db, WS, done)
        print(f"  {result['reason']}", flush=True)
        return [
            row("themes found, of 5", len(named), 4, 5),
            row("exam questions of the accepted theme", seen["questions"]),
            row("share of them right before", seen["before"]),
            row("the same, after the next turn", seen["after"], seen["before"] + 0.01, 0.8),
            row("promoted (1: yes)", float(seen["promoted"]), 1),
        ]
    finally:
        db.close()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--theme", default="dogs", choices=sorted(ANSWERS), help="what is accepted")
    parser.add_argument("--seed", type=int, default=4, help="another draw of the calls")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(OUT, measure(Path(folder), given.theme, given.seed))


if __name__ == "__main__":
    main()
