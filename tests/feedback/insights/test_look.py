"""Scripted calls with planted themes: are they found, named and counted, with a model for nearness and without."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from tests.feedback.insights.scripted import play

from feilun.feedback.insights import encoder, look
from feilun.records import Trace
from feilun.store import Database, lineage
from feilun.store.insights import kept

DOGS = ("May I bring my dog?", "are dogs allowed inside", "can my dog come in", "is a dog ok", "dog allowed or not?")
GOOD = (
    *("When do you open?", "what does a ticket cost", "how do I get there by bus", "is there a cafe"),
    *("do you take cards", "where is the toilet", "which floor has the paintings", "who built this house"),
    *("how long is a tour", "can I buy a catalogue", "what is on this weekend", "the audio guide is broken"),
    *("when was it founded", "do students pay less", "is the lift working", "how many rooms are there"),
)


@pytest.mark.parametrize("domain", ["museum", "pharmacy", "software", "rail"])
def test_planted_themes_are_found_by_characters(db: Database, domain: str) -> None:
    """Of five themes in 500 calls of two languages at least four are found, mostly pure, without any model."""
    script = play(db, "bank", domain, seed=1)
    found = script.found(look(db, "bank", list), 0.6)
    assert len(found) >= 4
    assert sum(purity for purity, _ in found.values()) / len(found) > 0.8


def test_planted_themes_are_found_by_meaning(db: Database) -> None:
    """With the embedding model a theme is one in both languages: more of its calls, almost nothing else."""
    script = play(db, "bank", "rail", seed=3, calls=300)
    found = script.found(look(db, "bank", list, encoder("multilingual-e5-small")), 0.7)
    assert len(found) == 5
    assert sum(purity for purity, _ in found.values()) / 5 > 0.9
    assert sum(reach for _, reach in found.values()) / 5 > 0.4


def test_looking_again_changes_nothing(db: Database) -> None:
    """The same calls give the same insights under the same ids, with the calls as their evidence in the lineage."""
    play(db, "bank", "museum", seed=2, calls=200)
    first = look(db, "bank", list)
    again = look(db, "bank", list)
    assert [(one.id, one.name, one.evidence, one.trend) for one in again] == [
        (one.id, one.name, one.evidence, one.trend) for one in first
    ]
    evidence = {edge.parent for edge in lineage.ancestors(db, "bank", first[0].id) if edge.relation == "evidence"}
    assert evidence == {part["trace"] for part in first[0].evidence}
    assert look(db, "other", list) == []


def test_ordinary_calls_are_no_insight(db: Database, call: Callable[..., Trace]) -> None:
    """Where a few of many calls fail by chance, nothing is named."""
    for number in range(96):
        call(GOOD[number % 16], "Like this.", **({"thumb": -1} if number % 19 == 0 else {}))
    assert look(db, "bank", list) == []


def test_a_theme_is_known_again_as_it_grows(db: Database, call: Callable[..., Trace]) -> None:
    """More of the same goes to the same insight; once nothing fails any more it fades, and keeps its id."""
    for number in range(20):
        call(GOOD[number % 16], "Like this.")
    for question in DOGS:
        call(question)
    (first,) = look(db, "bank", list)
    assert first.proposal == "knowledge"
    assert (first.calls, first.share) == (5, 1.0)
    assert "dog" in first.name
    for question in DOGS:
        call(f"{question} please")
    (grown,) = look(db, "bank", list)
    assert grown.id == first.id
    assert len(grown.evidence) == 10
    newest = 1_700_000_000.0 + 60 * 30
    assert [one.status for one in look(db, "bank", list, since=newest - 1)] == ["faded"]
    assert [one.status for one in look(db, "bank", list)] == ["open"]


def test_names_hold_no_personal_data(db: Database, call: Callable[..., Trace]) -> None:
    """What is shown went through what masks; what was asked stays where it is."""

    def mask(texts: Sequence[str]) -> list[str]:
        return [text.replace("Sam Miller", "[NAME]") for text in texts]

    for question in DOGS:
        call(f"Sam Miller asks: {question}")
    look(db, "bank", mask)
    (one,) = kept.find(db, "bank")
    shown = f"{one.name} {one.question} {one.terms}".casefold()
    assert "[name]" in shown
    assert "miller" not in shown


def test_the_proposal_follows_the_signs(db: Database, call: Callable[..., Trace]) -> None:
    """Corrections teach, refusals need another prompt, and all bad ratings are shared out."""
    for question in DOGS:
        call(question, "No idea what you mean.", correction="On a leash.")
    for question in ("print the invoice as pdf", "pdf of my invoice", "invoice pdf print", "print invoice pdf now"):
        call(question, "I can't help with that.", thumb=-1)
    dogs, pdf = look(db, "bank", list)
    assert (dogs.proposal, pdf.proposal) == ("samples", "template")
    assert dogs.rated == {"down": 5, "up": 0, "of_all_down": round(5 / 9, 4)}
    assert dogs.reasons["corrected"] == 5
