"""Many adapters on one base: called, loaded and unloaded while others stream; each answer is its own adapter's."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from tests.scenarios.service import BASE, Service, seconds_since

from feilun.engines.adapters import Factors, write_adapter
from feilun.engines.identity import adapter_identity
from feilun.engines.prompts import read_template
from feilun.records import ModelVersion
from feilun.store import models, open_database

pytestmark = pytest.mark.model
SERVED, MORE, CLIENTS, TOKENS = 32, 8, 16, 8
ASKED: Any = [{"role": "user", "content": "What is the capital of France?"}]


def write_random(folder: Path, base: Path, seed: int) -> Path:
    """Write random factors of rank 4 for what the first layers attend to, large enough to change answers."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    width = config["hidden_size"]
    random = torch.Generator().manual_seed(seed)
    factors: Factors = {}
    for layer in range(4):
        for name in ("q_proj", "o_proj"):
            a, b = torch.randn(4, width, generator=random), torch.randn(width, 4, generator=random)
            factors[layer, name] = (a * 0.3, b * 0.3)
    write_adapter(folder, factors, 4, 8)
    (folder / "chat_template.jinja").write_text(read_template(base), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def versions(service: Service, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the ids of adapters of the base that the service's workspace has."""
    db = open_database(service.home)
    base = next(version for version in models.find(db, "default") if version.name == BASE)
    found = []
    for number in range(SERVED + MORE):
        folder = write_random(tmp_path_factory.mktemp("adapter"), Path(base.folder), number)
        identity = adapter_identity(base.identity, folder)
        made = ModelVersion(f"model-{number:026d}", "default", f"a{number}", "adapter", base.id, str(folder), identity)
        found.append(models.add(db, made).id)
        models.turn_on(db, "default", made.id, "somebody")
    db.close()
    return found


async def test_loaded_and_unloaded_while_others_stream(
    service: Service, versions: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """16 clients stream from 32 adapters while 8 are unloaded and 8 loaded: no call fails, none has another's words."""
    url = f"{service.url}/v1"
    serving, more = versions[:SERVED], versions[SERVED:]
    headers = {"authorization": f"Bearer {service.secret}"}
    async with (
        openai.AsyncOpenAI(base_url=url, api_key=service.secret, max_retries=0, timeout=300) as client,
        httpx.AsyncClient(base_url=service.url, headers=headers, timeout=120) as http,
    ):

        async def ask(model: str) -> str:
            stream = await client.chat.completions.create(
                model=model, messages=ASKED, max_tokens=TOKENS, temperature=0, stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        alone = {model: await ask(model) for model in versions}
        assert len(set(alone.values())) >= SERVED
        for model in more:
            assert (await http.post(f"/api/models/{model}/unload")).status_code == 200

        waiting, wrong, begin = [*serving, *serving[:-MORE]], [], time.perf_counter()

        async def customer() -> None:
            while waiting:
                model = waiting.pop(0)
                answer = await ask(model)
                if answer != alone[model]:
                    wrong.append((model, answer))

        async def change(gone: str, come: str) -> None:
            left = await http.post(f"/api/models/{gone}/unload")
            assert left.status_code == 200, left.text
            assert left.json() == {"id": gone, "object": "model", "loaded": False}
            answer = await ask(come)
            if answer != alone[come]:
                wrong.append((come, answer))

        streams = [asyncio.create_task(customer()) for _ in range(CLIENTS)]
        for pair in zip(serving[-MORE:], more, strict=True):
            await change(*pair)
        await asyncio.gather(*streams)
    assert wrong == []
    calls = 2 * SERVED - MORE + MORE
    with capsys.disabled():
        print(f"\n{calls} calls to {SERVED + MORE} adapters, {MORE} unloaded and loaded, in {seconds_since(begin)}")


def test_only_own_versions_are_unloaded(service: Service) -> None:
    """What this workspace does not have cannot be unloaded, and neither can the base, which others use."""
    http = service.http()
    assert http.post("/api/models/model-unknown/unload").status_code == 404
    assert http.post(f"/api/models/{BASE}/unload").status_code == 400
    viewer = service.http(service.key(role="viewer")["secret"])
    assert viewer.post(f"/api/models/{BASE}/unload").status_code == 403
