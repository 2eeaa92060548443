"""Feedback: what people said about answers becomes lessons, and what they decide about rows becomes data.

The room knows judgements, traces, wordings and reviews, with the agreement of those who review. It does not know how
lessons are trained on, scored or promoted, and it does not know files: those are curation's.
"""

from feilun.feedback.finished import agreement, export, standings
from feilun.feedback.flagged import Flagged, flag_dataset, flag_feedback, flag_records
from feilun.feedback.lessons import Collected, Lesson, collect
from feilun.feedback.preferences import Preferences, preferences, write_preferences
from feilun.feedback.wordings import exam_wordings, training_wordings

__all__ = [
    "Collected",
    "Flagged",
    "Lesson",
    "Preferences",
    "agreement",
    "collect",
    "exam_wordings",
    "export",
    "flag_dataset",
    "flag_feedback",
    "flag_records",
    "preferences",
    "standings",
    "training_wordings",
    "write_preferences",
]
