"""Splits that leak nothing: what shares a conversation or a source stays on one side.

This module knows group keys and shares. It does not know what the rows are.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

from feilun.errors import BadRequest
from feilun.records import content_hash


def joined(keys: Sequence[Collection[Hashable]]) -> list[int]:
    """Return a group number for each row: rows that share any key, directly or through others, are of one group.

    A row without keys is a group of its own. Groups are numbered in the order of their first rows.
    """
    parent = list(range(len(keys)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = place = parent[parent[place]]
        return place

    first: dict[Hashable, int] = {}
    for place, mine in enumerate(keys):
        for key in mine:
            one, other = sorted((root(first.setdefault(key, place)), root(place)))
            parent[other] = one
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(place), len(numbers)) for place in range(len(keys))]


def grouped_split(keys: Sequence[Collection[Hashable]], shares: Sequence[float], seed: int = 0) -> list[int]:
    """Return a part number for each row, such that no two parts share a key.

    ``keys`` are what a row must not be parted from: its conversation, its sources. Groups go by size, the largest
    first, to the part that lacks most of its share (0 to 1 each, together 1); equal ones in an order drawn from
    ``seed``. Raises BadRequest for shares that are none.
    """
    if not shares or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise BadRequest(f"The shares {list(shares)} are not parts of a whole.", "For example 0.9 and 0.1.", "shares")
    groups = joined(keys)
    sizes: dict[int, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    lacking = [share * len(keys) for share in shares]
    part: dict[int, int] = {}
    for group in sorted(sizes, key=lambda each: (-sizes[each], content_hash([seed, each]))):
        place = max(range(len(shares)), key=lambda each: (lacking[each], -each))
        part[group] = place
        lacking[place] -= sizes[group]
    return [part[group] for group in groups]
