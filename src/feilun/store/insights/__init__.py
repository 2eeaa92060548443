"""Insights: what goes wrong in use, with its evidence, and what a person made of it.

Knows their rows and that each is decided once. Does not know how one is found, nor what a decision writes.
"""

from feilun.store.insights.nouns import Insight

__all__ = ["Insight"]
