"""The operators of this room.

This module knows their names. It does not know how they work.
"""

from __future__ import annotations

from feilun.curation.quality.balance import BALANCE
from feilun.curation.quality.bias import BIAS
from feilun.curation.quality.contradictions import CONTRADICTIONS
from feilun.curation.quality.coverage import COVERAGE
from feilun.curation.quality.label_errors import LABEL_ERRORS
from feilun.curation.quality.perplexity import PERPLEXITY
from feilun.curation.quality.score import QUALITY
from feilun.curation.quality.sensitive import SENSITIVE
from feilun.curation.quality.shape import LENGTH
from feilun.curation.quality.split import SPLIT
from feilun.curation.seam import Operator

OPERATORS: tuple[Operator, ...] = (
    QUALITY,
    LENGTH,
    PERPLEXITY,
    SENSITIVE,
    CONTRADICTIONS,
    LABEL_ERRORS,
    BIAS,
    BALANCE,
    COVERAGE,
    SPLIT,
)
