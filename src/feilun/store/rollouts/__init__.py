"""Rollouts: versions that an endpoint tries on a share of its calls, what became of them, and what their calls showed.

Knows rows, and that an endpoint tries one version at a time. Does not know when a version is worse, nor how calls are
divided.
"""

from feilun.store.rollouts.book import (
    ENOUGH,
    NEVER,
    begin,
    end,
    find,
    get,
    move,
    next_share,
    observe,
    promote,
    running,
    start,
    supersede,
)
from feilun.store.rollouts.hand import by_hand
from feilun.store.rollouts.nouns import RULES, STAGES, Call, Rating, Rollout, Rules, Status
from feilun.store.rollouts.seen import MOST, calls, ratings, usual_seconds

__all__ = [
    "ENOUGH",
    "MOST",
    "NEVER",
    "RULES",
    "STAGES",
    "Call",
    "Rating",
    "Rollout",
    "Rules",
    "Status",
    "begin",
    "by_hand",
    "calls",
    "end",
    "find",
    "get",
    "move",
    "next_share",
    "observe",
    "promote",
    "ratings",
    "running",
    "start",
    "supersede",
    "usual_seconds",
]
