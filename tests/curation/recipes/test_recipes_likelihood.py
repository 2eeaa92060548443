"""A recipe's reader is the engine that says how likely texts are."""

from __future__ import annotations

from pathlib import Path

from tests.models import tiny_model

from feilun.curation.recipes.around import Around


def test_it_is_opened_where_it_is_asked_for(tmp_path: Path) -> None:
    """Surroundings with a reader give its numbers; without one there is none."""
    folder = tiny_model(tmp_path / "base")
    likelihood = Around(reader=str(folder)).open().likelihood
    assert likelihood is not None
    assert likelihood([("", "some words")])[0] < 0
    assert Around().open().likelihood is None
