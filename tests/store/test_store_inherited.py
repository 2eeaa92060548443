"""What is permitted is inherited: a source's own words go before its folder's rules, these before the workspace's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from feilun.errors import BadRequest, Forbidden, NotFound
from feilun.records import Permissions, Source
from feilun.store import Database, changes, sources

Add = Callable[..., Source]


def add(db: Database, name: str, said: dict[str, Any], rules: dict[str, Any], content: bytes = b"") -> Permissions:
    """Add a source with what was said on two levels; return what holds."""
    source = Source(f"source-{name}", "bank", name, "", 0)
    return sources.add(db, source, content or name.encode(), said, rules).permissions


def held(db: Database, name: str) -> Permissions:
    """Return what holds for a source now."""
    return sources.get(db, "bank", f"source-{name}").permissions


def test_the_nearer_word_goes_first(db: Database) -> None:
    """For each permission by itself; what nobody says is as it is everywhere."""
    sources.set_default(db, "bank", {"train": False, "basis": "contract", "until": "2999-01-01"})
    assert add(db, "a", {}, {}) == Permissions(train=False, basis="contract", until="2999-01-01")
    assert add(db, "b", {}, {"train": True}) == Permissions(basis="contract", until="2999-01-01")
    nearest = add(db, "c", {"train": True, "until": None}, {"train": False, "leave": True})
    assert nearest == Permissions(leave=True, basis="contract")


def test_the_workspace_changes_its_mind(db: Database, add_source: Add) -> None:
    """What sources inherit changes at once, for all of them that say nothing themselves; readers are told."""
    add_source("a"), add_source("b", leave=True), add(db, "c", {"train": True}, {})
    before = changes.number(db)
    assert sources.set_default(db, "bank", {"train": False}) == Permissions(train=False)
    assert changes.number(db) > before
    assert [held(db, name).train for name in "abc"] == [False, False, True]
    with pytest.raises(Forbidden):
        sources.content(db, "bank", "source-a", "train")
    sources.set_default(db, "bank", {"retrieve": False})
    assert sources.default(db, "bank") == Permissions(train=False, retrieve=False)
    assert held(db, "b") == Permissions(train=False, retrieve=False, leave=True)
    assert sources.default(db, "other") == Permissions()


def test_naming_one_permission_leaves_the_others_inherited(db: Database) -> None:
    """What is granted by name stays granted; the rest follows the workspace."""
    add(db, "a", {}, {})
    assert sources.grant(db, "bank", "source-a", {"leave": True}) == sources.get(db, "bank", "source-a")
    sources.set_default(db, "bank", {"retrieve": False, "leave": False})
    assert held(db, "a") == Permissions(retrieve=False, leave=True)
    sources.set_permissions(db, "bank", "source-a", Permissions())
    assert held(db, "a") == Permissions()


def test_rules_of_a_folder_come_and_go(db: Database) -> None:
    """They take away what was given by name, never give back what was taken by name, and leave when they are lifted."""
    add(db, "a", {"leave": True}, {})
    add(db, "b", {"train": False}, {})
    for name in "ab":
        sources.inherit(db, "bank", f"source-{name}", {"leave": False, "train": True, "mask": "pseudonymise"})
    assert held(db, "a") == Permissions(mask="pseudonymise")
    assert held(db, "b") == Permissions(train=False, mask="pseudonymise")
    before = changes.number(db)
    sources.inherit(db, "bank", "source-b", {"leave": False, "train": True, "mask": "pseudonymise"})
    assert changes.number(db) == before
    sources.inherit(db, "bank", "source-b", {})
    assert held(db, "b") == Permissions(train=False)


def test_the_most_demanding_ground_of_all_copies_holds(db: Database) -> None:
    """And they are found by it."""
    add(db, "a", {"basis": "public"}, {}, b"same")
    add(db, "b", {"basis": "consent", "until": "2999-01-01"}, {}, b"same")
    add(db, "c", {"basis": "contract"}, {})
    assert held(db, "a") == held(db, "b") == Permissions(basis="consent", until="2999-01-01")
    assert [one.permissions.basis for one in sources.find(db, "bank")] == ["consent", "consent", "contract"]


def test_an_earlier_content_of_a_file(db: Database) -> None:
    """What was said about it by name holds for the new one, the strictest where several were spoken of."""
    add(db, "a", {"train": False, "until": "2999-12-31"}, {})
    add(db, "b", {"train": True, "until": "2999-06-30", "leave": True}, {})
    third = Source("source-c", "bank", "c", "", 0)
    kept = sources.add(db, third, b"new", {}, {"leave": False}, ["source-a", "source-b"])
    assert kept.permissions == Permissions(train=False, until="2999-06-30", leave=True)


@pytest.mark.parametrize(
    "wrong", [{"trian": False}, {"train": 1}, {"train": None}, {"basis": "mine"}, {"basis": None}, {"until": "soon"}]
)
def test_wrong_words_permit_nothing(db: Database, add_source: Add, wrong: dict[str, Any]) -> None:
    """On no level, and nothing is changed."""
    add_source("a")
    for attempt in (
        lambda: sources.grant(db, "bank", "source-a", wrong),
        lambda: sources.inherit(db, "bank", "source-a", wrong),
        lambda: sources.set_default(db, "bank", wrong),
        lambda: add(db, "b", wrong, {}),
        lambda: add(db, "b", {}, wrong),
    ):
        with pytest.raises(BadRequest):
            attempt()
    assert [one.permissions for one in sources.find(db, "bank")] == [Permissions()]
    with pytest.raises(NotFound):
        sources.set_default(db, "nowhere", {"train": False})
