"""Tiny models and adapters, made once for all tests of the room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.models import CHATML, tiny_adapter, tiny_model

from feilun.engines.batch import Batcher


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny Llama."""
    return tiny_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def adapters(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return two adapters of the tiny Llama, of different ranks and layers; the second has a template of its own."""
    root = tmp_path_factory.mktemp("adapters")
    return {
        "red": tiny_adapter(root / "red", llama, seed=1),
        "blue": tiny_adapter(
            root / "blue", llama, seed=2, rank=2, layers=range(1, 2), template=CHATML.replace("helpful", "terse")
        ),
    }


@pytest.fixture
def batcher(llama: Path, adapters: dict[str, Path]) -> Iterator[Batcher]:
    """Give a batcher of four slots with the base and both adapters loaded."""
    made = Batcher(llama, slots=4, context=256)
    made.load("base", llama, None)
    for name, folder in adapters.items():
        made.load(name, llama, folder)
    yield made
    made.stop()
    assert not made.thread.is_alive()
