"""Sealing: no training set holds what an exam asks.

This room knows every way in which an exam question hides in a training record, and which exams a workspace has. It
does not know how records were made, what is trained on them, nor how exams are sat.
"""

from feilun.curation.sealing.seal import Leak, Sealed, seal
from feilun.curation.sealing.secret import Secrecy, sealed_items
from feilun.curation.sealing.workspace import LazyEmbedder, seal_training

__all__ = ["LazyEmbedder", "Leak", "Sealed", "Secrecy", "seal", "seal_training", "sealed_items"]
