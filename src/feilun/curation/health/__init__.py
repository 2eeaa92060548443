"""The health of data: what came in, what was wrong, what was done, what is left for a person, what has changed since.

This room knows counts, their words in both languages and their pictures. It does not know how operators find anything.
"""

from feilun.curation.health.drift import compare
from feilun.curation.health.page import ACTIONS, page
from feilun.curation.health.readiness import readiness
from feilun.curation.health.tally import Counts, Shape, Tally

__all__ = ["ACTIONS", "Counts", "Shape", "Tally", "compare", "page", "readiness"]
