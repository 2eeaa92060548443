"""What a training will take, told before it begins: what it learns, what it tries, and what a teacher costs.

This module knows counts and prices. It does not know how a model learns, nor how fast this machine is.
"""

from __future__ import annotations

from pathlib import Path

from feilun.gateway.endpoints.fine_tuning.teacher import LONGEST
from feilun.records import JSON, ModelVersion
from feilun.settings import Settings
from feilun.store import Database
from feilun.store.access import endpoints
from feilun.training.job import foresee
from feilun.training.recipes import numbers

TRYING = {"grpo", "reasoning"}  # methods that have the model answer
SHARE = 0.5  # of the longest answer, on average


def estimate(
    db: Database, settings: Settings, ws: str, base: ModelVersion, training: JSON, teacher: str = ""
) -> JSON | None:
    """Return ``samples``, ``tokens``, ``steps``, ``seconds``, ``memory`` and ``disk`` (bytes) and whether ``measured``.

    ``tried_tokens`` are those of answers that the model tries itself, ``teacher`` what asking one takes. None for a
    base without weights. Raises what the training would raise at once.
    """
    if not base.folder or not Path(base.folder).is_dir():
        return None
    found = foresee(db, settings, ws, training)
    options = training.get("options") or {}
    tried = 0
    if training["method"] in TRYING:
        told = numbers(training["method"], options)
        each = told["samples"] * told["max_tokens"] * SHARE
        passes = found["steps"] * (training.get("batch") or 4) / max(1, found["samples"])
        tried = round(found["samples"] * each * (max(1.0, passes) if training["method"] == "grpo" else 1.0))
        found["seconds"] = round(found["seconds"] * (1.0 + tried / max(1, found["tokens"])), 1)
    found["tried_tokens"] = tried
    return found | ({"teacher": _asking(db, ws, found, teacher, options)} if teacher else {})


def _asking(db: Database, ws: str, found: JSON, teacher: str, options: JSON) -> JSON:
    """Return what asking a teacher takes at most: calls, tokens, and money (nano-units) where its price is known."""
    most = found["samples"] * int(options.get("max_tokens") or LONGEST)
    known = {endpoint.name: endpoint for endpoint in endpoints.find(db, ws)}
    targets = known[teacher].targets if teacher in known else ()
    price = max((target.price_in * found["tokens"] + target.price_out * most for target in targets), default=0)
    return {"calls": found["samples"], "most_answer_tokens": most, "most_money": price}
