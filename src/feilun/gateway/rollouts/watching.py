"""What the calls of one rollout have shown, read from rows as they come, and again from the beginning after a start.

This module knows rows' times and stages. It does not know what becomes of the rollout.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from feilun.evaluation.canary import USUAL, Canary
from feilun.evaluation.statistics.sequential import Arm
from feilun.records import JSON
from feilun.store import Database, rollouts
from feilun.store.rollouts import Call, Rating, Rollout

OVERLAP = 15.0  # s by which rows may come late: a call's row is made when there is time
SAMPLE = 200  # calls at a look; of more, every so manieth is compared
Row = TypeVar("Row", Rating, Call)
Fallen = Mapping[tuple[str, str, str], int]  # (workspace, endpoint, version) -> calls that it failed in this process


class Watcher:
    """The evidence of one rollout."""

    def __init__(self, db: Database, rollout: Rollout, fallen: Fallen) -> None:
        """Begin where the rollout began; calls that failed leave no rows, and are taken from what was kept."""
        self._db, self._fallen = db, fallen
        limits = rollout.limits()
        usual = rollouts.usual_seconds(db, rollout, USUAL)
        self.canary = Canary(limits.rated, limits.margin, usual)
        self._stage = -1
        self._rated, self._called = rollout.created, rollout.created
        self._known: dict[str, float] = {}
        self._traces: set[str] = set()
        kept = rollout.evidence.get("fallen") or [0, 0]
        now = self._counts(rollout)
        self._before = [now[side] - kept[side] for side in (0, 1)]
        self._failed = [0, 0]
        self.stage_rated = self.stage_calls = 0
        self.since = rollout.created

    def look(self, rollout: Rollout) -> bool:
        """Take in what is new; return whether there was anything."""
        changed = self._fell(rollout)
        rated = self._pages(lambda after: rollouts.ratings(self._db, rollout, after), self._rated)
        for rating in rated:
            self._rate(rollout, rating)
            self._rated = max(self._rated, rating.created)
        called = self._pages(lambda after: rollouts.calls(self._db, rollout, after), self._called)
        every = max(1, len(called) // SAMPLE)
        for number, call in enumerate(called):
            self._call(rollout, call, compared=number % every == 0)
            self._called = max(self._called, call.ended)
        self._to(rollout, float("inf"))
        self._forget()
        return changed or bool(rated or called)

    def evidence(self) -> JSON:
        """Return what there is to keep and to show."""
        counts = {"rated": self.stage_rated, "calls": self.stage_calls, "since": self.since}
        return {"signals": self.canary.evidence(), "stage": counts, "fallen": list(self._failed)}

    def _pages(self, read: Callable[[float], list[Row]], since: float) -> list[Row]:
        """Return the rows that were not seen yet, of those that came about ``since`` (s) and later."""
        new: list[Row] = []
        after = since - OVERLAP
        while True:
            page = read(after)
            new += [row for row in page if row.id not in self._known]
            self._known |= {row.id: row.ended for row in page}
            if len(page) < rollouts.MOST or page[-1].ended <= after:
                return new
            after = page[-1].ended

    def _forget(self) -> None:
        oldest = min(self._rated, self._called) - 2 * OVERLAP
        if len(self._known) > 2 * rollouts.MOST:
            self._known = {row: ended for row, ended in self._known.items() if ended > oldest}

    def _to(self, rollout: Rollout, when: float) -> None:
        """Enter every stage that had begun at a time (s)."""
        shares = [(since, share) for since, share in rollout.shares() if 0 < share < 1]
        while self._stage + 1 < len(shares) and shares[self._stage + 1][0] <= when:
            self._stage += 1
            self.since, share = shares[self._stage]
            self.canary.stage(share)
            self.stage_rated = self.stage_calls = 0

    def _rate(self, rollout: Rollout, rating: Rating) -> None:
        self._to(rollout, rating.created)
        # Of several judgements of an answer the first counts; one of an earlier stage's answer comes too late, as its
        # conversation was drawn at another share.
        if rating.asked < self.since or rating.trace in self._traces:
            return
        self._traces.add(rating.trace)
        arm = _arm(rollout, rating.model)
        self.canary.rated(arm, rating.value, rating.unit)
        self.stage_rated += arm == "candidate"

    def _call(self, rollout: Rollout, call: Call, *, compared: bool) -> None:
        if call.created < self.since or call.finish == "error":  # the latter is counted as it falls
            return
        arm = _arm(rollout, call.model)
        self.stage_calls += arm == "candidate"
        if compared and call.finish != "cancelled":
            self.canary.called(arm, call.answer, call.finish, call.seconds, call.unit)

    def _counts(self, rollout: Rollout) -> list[int]:
        place = rollout.workspace, rollout.endpoint
        return [self._fallen.get((*place, model), 0) for model in (rollout.incumbent, rollout.model)]

    def _fell(self, rollout: Rollout) -> bool:
        """Count calls that failed since the last look."""
        self._to(rollout, float("inf"))
        changed = False
        counts = self._counts(rollout)
        for side in (1, 0):  # the incumbent's last: where both fell meanwhile, it was not the candidate
            for _ in range(counts[side] - self._before[side] - self._failed[side]):
                self._failed[side] += 1
                self.canary.failed("candidate" if side else "incumbent")
                changed = True
        return changed


def _arm(rollout: Rollout, model: str) -> Arm:
    return "candidate" if model == rollout.model else "incumbent"
