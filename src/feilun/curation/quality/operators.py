"""The operators of this room.

This module knows their names. It does not know how they work.
"""

from __future__ import annotations

from feilun.curation.quality.score import QUALITY
from feilun.curation.quality.sensitive import SENSITIVE
from feilun.curation.seam import Operator

OPERATORS: tuple[Operator, ...] = (QUALITY, SENSITIVE)
