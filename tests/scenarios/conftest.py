"""One real gateway with real engines for all scenarios, and each official client, sync and async."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anthropic
import openai
import pytest
import pytest_asyncio
from tests.scenarios.service import BASE, EMBEDDING, Service, said

from feilun.engines.models import ensure_base


@pytest.fixture(scope="session")
def service(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a gateway that serves the embedded model, an embedding model too."""
    # Converting the model takes longer than all scenarios; what it becomes is kept from run to run.
    base = ensure_base(pytestconfig.cache.mkdir("embedded"), BASE)
    found = Service.start(tmp_path_factory.mktemp("scenarios"), base.folder)
    first = found.http().post("/v1/embeddings", json={"model": EMBEDDING, "input": "warm"})
    assert first.status_code == 200, first.text
    yield found
    found.stop()


@pytest_asyncio.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, service: Service) -> AsyncIterator[openai.OpenAI | openai.AsyncOpenAI]:
    """Give OpenAI's client, of either kind."""
    kind = openai.OpenAI if request.param == "sync" else openai.AsyncOpenAI
    made = kind(base_url=f"{service.url}/v1", api_key=service.secret, max_retries=0, timeout=120)
    yield made
    await said(made.close())


@pytest_asyncio.fixture(params=["sync", "async"])
async def claude(
    request: pytest.FixtureRequest, service: Service
) -> AsyncIterator[anthropic.Anthropic | anthropic.AsyncAnthropic]:
    """Give Anthropic's client, of either kind."""
    kind = anthropic.Anthropic if request.param == "sync" else anthropic.AsyncAnthropic
    made = kind(base_url=service.url, api_key=service.secret, max_retries=0, timeout=120)
    yield made
    await said(made.close())


@pytest.fixture
def owner(service: Service) -> openai.OpenAI:
    """Give OpenAI's sync client, for what is not about clients."""
    http = service.http()
    return openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.secret, max_retries=0, http_client=http)
