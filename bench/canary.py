"""How soon a rollout finds harm, and how often it cries wolf: ``python bench/canary.py [--runs 100]``.

Rollouts are simulated through the package's own test (``evaluation.statistics.sequential``), with the error budget that
ratings have: a candidate gets 5 % of the conversations until it has 200 rated calls, then 50 % until it has 200 more.
Calls come in conversations that stay with their version; in some worlds what people think hangs together within a
conversation, or falls during the rollout for both versions alike. The same calls go to three other designs: a look with
no correction after every rated call, bounds for each arm (confidence sequences), and one look at the end. Prints the
table, writes ``bench/out/canary.json``, and ends with 1 if a must is missed: a version that is 15 points worse is gone
within 200 rated calls of its own in 95 of 100 runs, an equal one in at most 5.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from dataclasses import dataclass
from pathlib import Path

from feilun.evaluation.canary import SIGNALS
from feilun.evaluation.statistics.sequential import Sequential

OUT = Path(__file__).parent / "out" / "canary.json"
ALPHA = SIGNALS["ratings"]
STAGES = ((0.05, 200), (0.5, 400))  # share, rated calls of the candidate at which the stage ends
OPEN = 30  # conversations at once
FIRST = 20  # rated calls of the candidate before designs without correction look
LAST = 200
Z = 1.8808  # the one-sided normal quantile of 3 %


@dataclass(frozen=True)
class World:
    """Rates of the present and the new version, calls of a conversation, how far its calls agree, a fall of both."""

    name: str
    present: float
    new: float
    calls: int = 1
    ties: float = 0.0
    fall: float = 0.0

    @property
    def equal(self) -> bool:
        """Say whether there is no harm to find."""
        return self.present == self.new


WORLDS = (
    World("80 % -> 65 %", 0.80, 0.65),
    World("60 % -> 45 %", 0.60, 0.45),
    World("90 % -> 75 %", 0.90, 0.75),
    World("80 % -> 65 %, 5 calls each", 0.80, 0.65, calls=5),
    World("80 % -> 65 %, falling", 0.80, 0.65, fall=0.15),
    World("80 %, equal", 0.80, 0.80),
    World("60 %, equal", 0.60, 0.60),
    World("95 %, equal", 0.95, 0.95),
    World("80 %, equal, 5 calls each", 0.80, 0.80, calls=5),
    World("80 %, equal, 5 alike calls each", 0.80, 0.80, calls=5, ties=0.5),
    World("80 %, equal, falling", 0.80, 0.80, fall=0.3),
)


@dataclass
class Conversation:
    """One conversation: its arm, how many calls it still has, and what its user is like (0-1)."""

    name: str
    candidate: bool
    left: int
    user: float


class Calls:
    """The rated calls of one rollout, as a world has them."""

    def __init__(self, world: World, seed: int) -> None:
        """Begin with no conversation."""
        self.world, self.draw = world, random.Random(seed)
        self.open: list[Conversation] = []
        self.number = 0

    def next(self, share: float) -> tuple[bool, float, str]:
        """Return whether the candidate answered, what was thought, and the conversation."""
        world, draw = self.world, self.draw
        self.number += 1
        while len(self.open) < (OPEN if world.calls > 1 else 1):
            name = f"c{self.number}-{len(self.open)}"
            left = draw.randrange(1, 2 * world.calls)
            self.open.append(Conversation(name, draw.random() < share, left, draw.random()))
        one = draw.choice(self.open)
        one.left -= 1
        if not one.left:
            self.open.remove(one)
        rate = (world.new if one.candidate else world.present) - world.fall * min(1.0, self.number / 4000)
        chance = one.user if draw.random() < world.ties else draw.random()
        return one.candidate, float(chance < rate), one.name if world.calls > 1 else ""


class Peeking:
    """A z-test at its usual level after every rated call, and the same test once at the end."""

    def __init__(self) -> None:
        """Begin with no outcomes."""
        self.good, self.count = [0.0, 0.0], [0, 0]

    def add(self, side: int, value: float) -> None:
        """Count an outcome."""
        self.good[side] += value
        self.count[side] += 1

    def worse(self) -> bool:
        """Say whether the candidate seems worse now."""
        if min(self.count) < FIRST:
            return False
        pooled = sum(self.good) / sum(self.count)
        error = math.sqrt(max(1e-12, pooled * (1 - pooled) * (1 / self.count[0] + 1 / self.count[1])))
        return (self.good[1] / self.count[1] - self.good[0] / self.count[0]) / error < -Z


def simulate(world: World, seed: int) -> dict[str, int]:
    """Return after how many rated calls of the candidate each design rolled it back; 0: never."""
    calls, test, peeking = Calls(world, seed), Sequential(ALPHA), Peeking()
    found = dict.fromkeys(("ours", "peeking", "bounds", "one look"), 0)
    for share, until in STAGES if world.equal else STAGES[:1]:
        test.stage(share)
        while test.count[1] < until:
            candidate, value, unit = calls.next(share)
            test.add("candidate" if candidate else "incumbent", value, unit)
            peeking.add(int(candidate), value)
            if not candidate:
                continue
            now = test.count[1]
            if not found["ours"] and test.state().decision == "worse":
                found["ours"] = now
            if not found["bounds"] and test.interval()[1] < 0:
                found["bounds"] = now
            if not found["peeking"] and peeking.worse():
                found["peeking"] = now
            if now == LAST and peeking.worse():
                found["one look"] = now
    return found


def main() -> int:
    """Print the table; return 1 if a must is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    given = parser.parse_args()
    rows, missed = [], []
    print(f"{'world':<34} {'design':<9} rolled back  median rated calls")
    for world in WORLDS:
        runs = [simulate(world, seed) for seed in range(given.runs)]
        for design in runs[0]:
            hits = sorted(run[design] for run in runs if run[design])
            share, median = len(hits) / len(runs), hits[len(hits) // 2] if hits else None
            rows.append({"world": world.name, "design": design, "rolled back": share, "median": median})
            print(f"{world.name:<34} {design:<9} {share:>10.0%}  {median or '-'}", flush=True)
            if design == "ours" and not (share <= 0.05 if world.equal else share >= 0.95):
                missed.append(world.name)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"runs": given.runs, "alpha": ALPHA, "rows": rows, "missed": missed}, indent=1) + "\n")
    print(f"musts missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
