"""Thumbs, edits and comparisons of the workspace as what is learnt from: a training file named ``feedback``.

This module knows preferences, exams and methods. It does not know files, jobs, nor how anything is learnt.
"""

from __future__ import annotations

from feilun.curation.sealing import seal_training
from feilun.errors import BadRequest, TooFewSamples
from feilun.feedback import preferences
from feilun.gateway.endpoints.fine_tuning.material import LEAST, Material, leaks, told
from feilun.gateway.endpoints.fine_tuning.methods import Chosen
from feilun.records import Source
from feilun.store import Database, datasets

FEEDBACK = "feedback"
_METHODS = {"dpo", "kto", "reward"}


def feedback_source(ws: str) -> Source:
    """Return what stands for the workspace's judgements where a training file is named."""
    return Source(FEEDBACK, ws, FEEDBACK, "", 0)


def of_feedback(db: Database, ws: str, name: str, chosen: Chosen) -> Material:
    """Write what the workspace's people preferred as a dataset version named ``name``, without what exams ask.

    Raises BadRequest for a method that does not learn from preferences, TooFewSamples.
    """
    if chosen.name not in _METHODS:
        raise BadRequest(
            f"{chosen.name} does not learn from feedback.", f"Methods: {', '.join(sorted(_METHODS))}.", "training_file"
        )
    found = preferences(db, ws)
    records = found.pairs if chosen.name == "reward" else [*found.pairs, *found.rated]
    sealed = seal_training(db, ws, records)
    removed, least = leaks(sealed), LEAST["training_file"]
    version, left_out = None, [*found.left_out]
    if sealed.kept:
        facts = {"origin": "preferences", "pairs": len(found.pairs), "rated": len(found.rated), "removed": len(removed)}
        version, also = datasets.write(db, ws, name, sealed.kept, "train", facts)
        left_out += [(record.id, reason) for record, reason in also]
    if version is None or version.rows < least:
        why = f" {len(left_out)} left out, such as {left_out[0][0]}: {left_out[0][1]}." if left_out else ""
        raise TooFewSamples(
            f"Feedback holds {version.rows if version else 0} preference(s), but at least {least} are needed.{why}",
            "Give thumbs and corrections to more answers.",
            "training_file",
        )
    notes = [f"Feedback: {len(found.pairs)} pairs, {len(found.rated)} answers that were judged alone."]
    notes += [f"Feedback: {told(removed)}"] if removed else []
    notes += [f"Feedback: {name} is left out: {reason}." for name, reason in left_out]
    return Material(version, removed, tuple(notes))
