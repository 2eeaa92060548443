"""Exports through the API: made as jobs, fetched file by file, refused once something was revoked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import httpx
import pytest
from tests.models import tiny_adapter, tiny_model

from feilun.engines.identity import adapter_identity
from feilun.engines.models import ensure_base
from feilun.records import ModelVersion, Permissions, Record, Source
from feilun.settings import Settings, load
from feilun.store import datasets, lineage, models, sources, workspaces


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings whose base is a tiny random model."""
    folder = tiny_model(tmp_path / "tiny", hidden_size=64)
    return load(environment={}, given={"home": str(tmp_path / "home"), "engine": "fake", "model": str(folder)})


@pytest.fixture
def served(gateway: Any, settings: Settings) -> Any:
    """Give a gateway whose workspace has a version of its own, which has learnt from one source."""
    db = gateway.db
    workspaces.ensure(db, "bank")
    base = models.add(db, ensure_base(settings.root, settings.model))
    adapter = tiny_adapter(settings.root / "models" / "model-own", Path(base.folder))
    identity = adapter_identity(base.identity, adapter)
    models.add(db, ModelVersion("model-own", "bank", "fees", "adapter", base.id, str(adapter), identity))
    source = sources.add(db, Source("source-a", "bank", "fees.md", "", 0), b"fees")
    said = ({"role": "user", "content": "What is the fee?"}, {"role": "assistant", "content": "It is 4 crowns."})
    data, _ = datasets.write(db, "bank", "fees", [Record("record-a", "chat", (source.id,), said)], "train")
    lineage.link(db, "bank", [(data.id, "ftjob-1", "trained on"), ("ftjob-1", "model-own", "made")])
    return gateway


def test_an_export_is_made_and_fetched(served: Any, wait: Callable[[Callable[[], object]], None]) -> None:
    """The job ends with its files, each can be fetched by its own workspace alone, until what it learnt is revoked."""
    http: httpx.Client = served.http(served.key("bank", "builder"))
    made = http.post("/api/models/model-own/export", json={"as": "gguf", "quantise": "q8_0"}).json()
    assert (made["status"], made["as"], made["quantise"]) == ("queued", "gguf", "q8_0")
    place = f"/api/exports/{made['id']}"
    wait(lambda: http.get(place).json()["status"] in {"succeeded", "failed"})
    done = http.get(place).json()
    assert (done["status"], done["error"]) == ("succeeded", None)
    assert set(done["files"]) == {"README.md", "feilun.json", "fees-q8_0.gguf"}
    answer = http.get(f"{place}/files/fees-q8_0.gguf")
    assert len(answer.content) == done["files"]["fees-q8_0.gguf"]
    file = served.settings.root / "fetched.gguf"
    file.write_bytes(answer.content)
    assert gguf.GGUFReader(file).fields["general.architecture"].contents() == "llama"
    assert [each["id"] for each in http.get("/api/exports").json()["data"]] == [made["id"]]
    for wrong in ("order.json", "..%2f..%2ffeilun.db", "nothing"):
        assert http.get(f"{place}/files/{wrong}").status_code == 404
    other = served.http(served.key("shop", "owner"))
    assert {other.get(each).status_code for each in (place, f"{place}/files/README.md")} == {404}
    sources.set_permissions(served.db, "bank", "source-a", Permissions(train=False))
    assert http.get(f"{place}/files/README.md").status_code == 403
    assert http.post("/api/models/model-own/export", json={"as": "merged"}).status_code == 403
    http.delete(place)
    assert not (served.settings.root / "exports" / made["id"]).exists()


@pytest.mark.parametrize("body", [{"as": "onnx"}, {"as": "gguf", "quantise": "q9"}, {}, {"as": "gguf", "to": "/etc"}])
def test_wrong_exports_are_refused(served: Any, body: dict[str, str]) -> None:
    """Unknown forms, kinds and fields; no job is made."""
    http: httpx.Client = served.http(served.key("bank", "builder"))
    assert http.post("/api/models/model-own/export", json=body).status_code == 400
    assert http.get("/api/exports").json()["data"] == []


def test_what_cannot_be_exported_fails_with_its_reason(
    served: Any, wait: Callable[[Callable[[], object]], None]
) -> None:
    """A kind that the form does not have, found out where the weights are: the job says so."""
    http: httpx.Client = served.http(served.key("bank", "builder"))
    made = http.post("/api/models/model-own/export", json={"as": "adapter", "quantise": "q8_0"}).json()
    wait(lambda: http.get(f"/api/exports/{made['id']}").json()["status"] == "failed")
    assert "adapter has no weights of the kind" in http.get(f"/api/exports/{made['id']}").json()["error"]["message"]
