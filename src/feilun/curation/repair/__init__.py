"""Repair of dirty texts: wrongly decoded, marked against copying, wrapped in site furniture and spam, spun by machine.

This room knows what damage looks like and how it is mended or flagged. It does not know files, recipes or how texts
are compared with each other, apart from lines that many documents share.
"""

from feilun.curation.repair.mend import Repaired, mend_document
from feilun.curation.repair.operators import OPERATORS

__all__ = ["OPERATORS", "Repaired", "mend_document"]
