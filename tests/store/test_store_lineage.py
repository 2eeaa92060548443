"""Edges between everything, and the two questions about them."""

from __future__ import annotations

import pytest

from feilun.errors import NotFound
from feilun.records import Deployment, Feedback, Trace, Usage, Verdict
from feilun.store import Database, Edge, feedback, lineage, traces, verdicts

WHEEL = [
    ("source-a", "dataset-1", "data"),
    ("source-b", "dataset-1", "data"),
    ("source-b", "dataset-2", "data"),
    ("dataset-1", "model-1", "trained"),
    ("dataset-2", "model-2", "trained"),
    ("model-1", "trace-1", "answered"),
]


def test_both_questions(db: Database) -> None:
    """Ancestors and descendants are found through any number of steps, and nothing else is."""
    lineage.link(db, "bank", WHEEL)
    above = lineage.ancestors(db, "bank", "trace-1")
    assert {(edge.parent, edge.child) for edge in above} == {
        *(("source-a", "dataset-1"), ("source-b", "dataset-1")),
        *(("dataset-1", "model-1"), ("model-1", "trace-1")),
    }
    below = lineage.descendants(db, "bank", "source-a")
    assert [edge.child for edge in below] == ["model-1", "trace-1", "dataset-1"]
    assert len(lineage.descendants(db, "bank", "source-b")) == 5
    assert lineage.ancestors(db, "bank", "source-a") == []
    assert lineage.ancestors(db, "bank", "unknown\0") == []


def test_edges_are_confined_to_their_workspace(db: Database) -> None:
    """The same ids elsewhere are other things."""
    lineage.link(db, "bank", WHEEL)
    assert lineage.ancestors(db, "other", "trace-1") == []
    lineage.link(db, "other", [("source-z", "trace-1", "data")])
    assert len(lineage.ancestors(db, "bank", "trace-1")) == 4
    with pytest.raises(NotFound):
        lineage.link(db, "nowhere", WHEEL)


def test_linking_again_changes_nothing(db: Database) -> None:
    """An edge is there once, however often and however many at a time it is linked; other relations are other edges."""
    lineage.link(db, "bank", [*WHEEL, *WHEEL])
    lineage.link(db, "bank", iter(WHEEL))
    lineage.link(db, "bank", [])
    assert len(lineage.ancestors(db, "bank", "trace-1")) == 4
    lineage.link(db, "bank", [("source-a", "dataset-1", "checked")])
    assert len(lineage.ancestors(db, "bank", "trace-1")) == 5


def test_a_cycle_ends(db: Database) -> None:
    """The wheel turns: a correction of an answer of a model that it trains again is no endless question."""
    lineage.link(db, "bank", [("a", "b", "x"), ("b", "c", "x"), ("c", "a", "x"), ("d", "d", "x")])
    for node in "abc":
        assert {edge.child for edge in lineage.descendants(db, "bank", node)} == {"a", "b", "c"}
        assert len(lineage.ancestors(db, "bank", node)) == 3
    assert lineage.ancestors(db, "bank", "d") == [Edge("d", "d", "x")]


def test_a_long_chain(db: Database) -> None:
    """A hundred turns of the wheel, each building on the one before, are walked whole."""
    lineage.link(db, "bank", [(f"n{n:03}", f"n{n + 1:03}", "x") for n in range(400)])
    assert len(lineage.ancestors(db, "bank", "n400")) == 400
    assert len(lineage.descendants(db, "bank", "n100")) == 300


def test_the_store_links_what_it_sees(db: Database) -> None:
    """From a judgement back to the model: deployments, traces and feedback are linked as they are kept."""
    verdicts.add(db, Verdict("verdict-1", "bank", "model-2", "model-1", True, {"en": "better"}))
    verdicts.promote(db, Deployment("deployment-1", "bank", "own", "model-2", "verdict-1"))
    trace = Trace("trace-1", "bank", "key-1", "own", "model-2", (), "", "stop", Usage(1, 1), "deployment-1")
    traces.add(db, [trace, Trace("trace-2", "bank", "key-1", "own", "model-1", (), "", "stop", Usage(1, 1))])
    feedback.add(db, Feedback("feedback-1", "bank", "trace-1", thumb=1))
    assert set(lineage.ancestors(db, "bank", "feedback-1")) == {
        Edge("trace-1", "feedback-1", "rated"),
        Edge("deployment-1", "trace-1", "answered"),
        Edge("model-2", "deployment-1", "serves"),
        Edge("verdict-1", "deployment-1", "decided"),
        Edge("model-2", "verdict-1", "judged"),
    }
    assert lineage.ancestors(db, "bank", "trace-2") == [Edge("model-1", "trace-2", "answered")]
