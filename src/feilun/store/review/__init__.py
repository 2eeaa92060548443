"""The review queue: rows that wait for people, who has which, and what they decided.

Knows items, leases, decisions and the sources that rows come from. Does not know what agreement is, nor what becomes of
decisions: that is the feedback room's.
"""

from feilun.store.review.nouns import Annotation, Decision, ReviewItem, Settled, Suggestion

__all__ = ["Annotation", "Decision", "ReviewItem", "Settled", "Suggestion"]
