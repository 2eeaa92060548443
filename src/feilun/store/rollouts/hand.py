"""What people do to a rollout by hand, and the words for it. Does not know how calls are divided."""

from __future__ import annotations

from typing import Literal

from feilun.records import JSON
from feilun.store.database import Database
from feilun.store.rollouts.book import end, get, move, next_share
from feilun.store.rollouts.nouns import Rollout


def by_hand(db: Database, ws: str, rollout_id: str, to: Literal["next", "all", "back"], why: str = "") -> Rollout:
    """Give the candidate the ``next`` share of the calls, ``all`` of them, or none (``back``); return the rollout.

    Raises NotFound, and Conflict where it has ended.
    """
    said = f" {why}" if why else ""
    if to == "back":
        return end(db, ws, rollout_id, "rolled back", _reason(f"Rolled back by hand.{said}", f"已手动回滚。{said}"))
    found = get(db, ws, rollout_id)
    share = 1.0 if to == "all" else next_share(found)
    if share < 1:
        return move(db, ws, rollout_id, share, _reason(f"Moved on by hand.{said}", f"已手动推进。{said}"))
    return end(db, ws, rollout_id, "promoted", _reason(f"Promoted by hand.{said}", f"已手动全量上线。{said}"))


def _reason(en: str, zh: str) -> JSON:
    return {"en": en, "zh": zh}
