"""Authoring: exams made from an organisation's own documents, tickets and FAQ, accepted one by one by a person.

This room knows how a sentence becomes a question with its place, how hard it is, and how accepted drafts become an
exam. It does not know how people review, how models sit exams, nor how rows are made by a model.
"""

from feilun.curation.authoring.accepted import Authored, authored_exam
from feilun.curation.authoring.draft import Draft, draft_exam, review_items
from feilun.curation.authoring.gaps import gap_drafts

__all__ = ["Authored", "Draft", "authored_exam", "draft_exam", "gap_drafts", "review_items"]
