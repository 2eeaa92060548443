"""Recipes: operators in an order, run over a workspace's documents or over large files of rows.

This room knows how steps are written down, run, found again and told of. It does not know any operator, but for those
that sources with masked personal data must pass.
"""

from feilun.curation.recipes.catalogue import operators
from feilun.curation.recipes.curate import Options, Outcome, curate_files, curate_workspace, mended
from feilun.curation.recipes.plan import Recipe, find, parse, ready
from feilun.curation.recipes.refusals import allowed

__all__ = [
    "Options",
    "Outcome",
    "Recipe",
    "allowed",
    "curate_files",
    "curate_workspace",
    "find",
    "mended",
    "operators",
    "parse",
    "ready",
]
