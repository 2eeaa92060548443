"""Curation: an organisation's files -> clean records with their permissions, and a report that gives every reason.

This room knows file formats, how people write questions and answers down, and what makes data bad: copies,
contradictions, old versions, page furniture, small talk, personal data, exam questions. It does not know how models
are trained, how exams are scored, or who may see what: permissions are kept and applied by the store.
"""

from feilun.curation.conflicts import Correction
from feilun.curation.documents import Block, Document, Skip, Unreadable
from feilun.curation.exams import holdout, is_exam, parse_exam
from feilun.curation.ingest import IngestReport, documents, exam_items, ingest
from feilun.curation.recipe import Curated, curate
from feilun.curation.report import Report
from feilun.curation.scan import parse, scan

__all__ = [
    "Block",
    "Correction",
    "Curated",
    "Document",
    "IngestReport",
    "Report",
    "Skip",
    "Unreadable",
    "curate",
    "documents",
    "exam_items",
    "holdout",
    "ingest",
    "is_exam",
    "parse",
    "parse_exam",
    "scan",
]
