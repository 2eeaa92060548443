"""The wheel by itself: when each workspace's turns, with what budget, and what every turn did.

Knows rows. Does not know what a turn is, nor when it is due.
"""

from feilun.store.wheel.book import asked, begin, end, get, keep, put, spins, turning
from feilun.store.wheel.nouns import Rules, Spin, Wheel

__all__ = ["Rules", "Spin", "Wheel", "asked", "begin", "end", "get", "keep", "put", "spins", "turning"]
