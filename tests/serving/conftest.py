"""A tiny base model and an adapter as versions, and the settings of an engine that serves them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from tests.models import tiny_adapter, tiny_model

from feilun.engines import Engine
from feilun.engines.fake import FakeEngine
from feilun.engines.identity import adapter_identity
from feilun.engines.models import ensure_base
from feilun.records import ModelVersion
from feilun.serving import start_engine
from feilun.settings import Settings

LONGEST = 8192  # tokens that the base can take: an answer of as many is still running whenever a test looks


@dataclass(frozen=True)
class House:
    """A home folder with a base model and an adapter on it."""

    root: Path
    settings: Settings
    base: ModelVersion
    red: ModelVersion


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Return a home folder whose base is a tiny model."""
    root = tmp_path_factory.mktemp("house")
    folder = tiny_model(root / "tiny", max_position_embeddings=LONGEST)
    base = ensure_base(root, str(folder))
    adapter = tiny_adapter(root / "models" / "model-red", folder, seed=1)
    red = ModelVersion(
        "model-red", "acme", "red", "adapter", base.id, str(adapter), adapter_identity(base.identity, adapter)
    )
    settings = Settings(home=str(root), model=str(folder), engine="torch", threads=1, batch=4, context=256)
    return House(root, settings, base, red)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["fake", "torch"])
async def engine(request: pytest.FixtureRequest, house: House) -> AsyncIterator[Engine]:
    """Give each engine in turn, with both versions loaded."""
    made: Engine = FakeEngine(context=256)
    if request.param == "torch":
        made = await start_engine(house.settings, house.root)
    await made.load(house.base)
    await made.load(house.red)
    yield made
    await made.close()
