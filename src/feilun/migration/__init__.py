"""A home for what was made elsewhere: evals and runs, training files, calls with judgements, datasets of other systems.

The room knows the forms in which OpenAI, TensorZero, Langfuse and Kiln give data away, and which of our nouns they
become. It does not know how files of ordinary data are read, nor how anything is trained or graded.
"""

from feilun.migration.bring import HOMES, bring, home_of
from feilun.migration.seam import Brought, Report

__all__ = ["HOMES", "Brought", "Report", "bring", "home_of"]
