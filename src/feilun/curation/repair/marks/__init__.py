"""Marks against copying, what they break, and the gaps they leave.

This room knows readings, signs and halves of characters. It does not know pages, nor what texts are about.
"""

from feilun.curation.repair.marks.anticopy import Anticopy
from feilun.curation.repair.marks.lost import Lost, lost_places

__all__ = ["Anticopy", "Lost", "lost_places"]
