"""``/api/audit`` and ``/api/permissions``: owners see who did what, and say what files inherit."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from feilun.records import Deployment, ModelVersion, Permissions, Record, Source
from feilun.store import datasets, lineage, models, sources, verdicts
from feilun.store.audit.tables import AUDIT


@pytest.fixture
def http(gateway: Any) -> httpx.Client:
    """Give a plain client of an owner."""
    return gateway.http(gateway.key())


def upload(http: httpx.Client, text: str, **form: str) -> dict[str, Any]:
    """Upload a file; return its description."""
    answer = http.post("/v1/files", data={"purpose": "user_data", **form}, files={"file": ("a.txt", text.encode())})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_who_saw_and_changed_what(http: httpx.Client) -> None:
    """Each act with the key that did it, page by page; the log is verified, and its head can be kept."""
    person = http.post("/api/members", json={"name": "Ann", "role": "builder"}).json()["id"]
    key = http.post("/api/keys", json={"name": "hers", "member": person, "role": "builder"}).json()
    kept = http.post("/api/audit/verify", json={}).json()
    hers = httpx.Client(base_url=http.base_url, headers={"authorization": f"Bearer {key['secret']}"})
    file = upload(hers, "The code of the vault.", permissions='{"basis": "consent", "train": false}')["id"]
    assert hers.get(f"/v1/files/{file}/content").status_code == 200
    assert hers.patch(f"/api/sources/{file}", json={"retrieve": False}).json()["permissions"]["basis"] == "consent"
    assert hers.delete(f"/v1/files/{file}").status_code == 200
    found = http.get("/api/audit", params={"about": file}).json()["data"]
    assert [each["action"] for each in found] == [
        *("source.added", "source.read", "source.permissions", "source.deleted")
    ]
    assert {each["actor"] for each in found} == {f"{key['id']} {person}"}
    assert found[1]["details"] == {"name": "a.txt", "purpose": "inspect"}
    everything = http.get("/api/audit", params={"limit": 1000}).json()["data"]
    page = http.get("/api/audit", params={"after": everything[1]["id"], "limit": 2}).json()
    assert ([each["id"] for each in page["data"]], page["has_more"]) == (["3", "4"], True)
    assert [each["about"] for each in http.get("/api/audit", params={"action": "member"}).json()["data"]] == [person]
    verified = http.post("/api/audit/verify", json={"head": kept["head"]}).json()
    assert (verified["breaks"], verified["entries"]) == ([], len(everything))
    assert http.post("/api/audit/verify", json={"head": "soon"}).status_code == 400
    assert http.get("/api/audit", params={"after": "key-1"}).status_code == 404
    assert hers.get("/api/audit").status_code == hers.post("/api/audit/verify", json={}).status_code == 403
    hers.close()


def test_a_log_that_was_touched_says_where(gateway: Any, http: httpx.Client) -> None:
    """Also over HTTP."""
    upload(http, "One."), upload(http, "Two.")
    ws = gateway.ws if hasattr(gateway, "ws") else "default"
    with gateway.db.writing() as conn:
        names = list(conn.scalars(sa.select(AUDIT.c.workspace).distinct()))
        ws = ws if ws in names else names[0]
        conn.execute(sa.update(AUDIT).where(AUDIT.c.workspace == ws, AUDIT.c.number == 2).values(actor="nobody"))
    (found,) = http.post("/api/audit/verify", json={}).json()["breaks"]
    assert found["number"] == 2
    assert "2" in found["zh"]


def test_what_files_inherit(http: httpx.Client) -> None:
    """What an upload does not say is the workspace's to say, also afterwards; sources are found by their basis."""
    silent = upload(http, "Silent.")["id"]
    told = upload(http, "Told.", permissions='{"train": true, "basis": "public"}')["id"]
    assert http.get("/api/permissions").json()["basis"] == "own"
    answer = http.patch("/api/permissions", json={"train": False, "basis": "contract"})
    assert answer.json() == http.get("/api/permissions").json()
    held = {each["id"]: each["permissions"] for each in http.get("/api/sources").json()["data"]}
    assert (held[silent]["train"], held[silent]["basis"]) == (False, "contract")
    assert (held[told]["train"], held[told]["basis"]) == (True, "public")
    assert upload(http, "Later.")["permissions"]["train"] is False
    found = http.get("/api/sources", params={"basis": "public"}).json()["data"]
    assert [each["id"] for each in found] == [told]
    for wrong in ({"train": None}, {"basis": "mine"}, {"trian": True}, {"until": "soon"}):
        assert http.patch("/api/permissions", json=wrong).status_code == 400


def test_what_is_revoked_does_not_serve_again(gateway: Any, http: httpx.Client) -> None:
    """It can neither be turned on nor rolled back to, and impact says why."""
    db, ws = gateway.db, http.get("/api/keys").json()["data"][0]["name"].removeprefix("owner of ")
    source = sources.add(db, Source("source-a", ws, "fern.md", "", 0), b"fern")
    said = ({"role": "user", "content": "Who?"}, {"role": "assistant", "content": "The night porter waters it."})
    data, _ = datasets.write(db, ws, "chat", [Record("record-1", "chat", (source.id,), said)], "train")
    base = next(model for model in models.find(db, ws) if model.kind == "base")
    models.add(db, ModelVersion("model-a", ws, "own", "adapter", base.id, "x", {}))
    lineage.link(db, ws, [(data.id, "model-a", "trained on")])
    for number, model in enumerate(("model-a", base.id)):
        verdicts.promote(db, Deployment(f"deployment-{number}", ws, "own", model))
    sources.set_permissions(db, ws, source.id, Permissions(train=False))
    for answer in (
        http.post("/api/models/model-a/on"),
        http.post("/api/deployments/rollback", json={"deployment": "deployment-0"}),
    ):
        assert answer.status_code == 403
        assert "contains revoked data" in answer.json()["error"]["message"]
    (touched,) = http.get("/api/impact/fern.md").json()["models"]
    assert touched["revoked"] == ["the source source-a does not permit the purpose train"]
