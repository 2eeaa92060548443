"""``/api/insights``: found over HTTP, shown without personal data, accepted and dismissed by builders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.feedback.insights.test_deciding import ASKED

from feilun.records import Trace, Usage
from feilun.settings import Settings, load
from feilun.store import feedback, traces


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings without an embedding model."""
    return load(environment={}, given={"home": str(tmp_path / "home"), "engine": "fake", "embedding": ""})


@pytest.fixture
def http(gateway: Any) -> httpx.Client:
    """Give a builder's client of a workspace with one theme."""
    secret = gateway.key(role="builder")
    for number, question in enumerate((*ASKED, "is the dog of ann@example.org allowed inside?")):
        said = ({"role": "user", "content": question},)
        trace = Trace(f"trace-{number}", "bank", "key", "own", "m", said, "I don't know.", "stop", Usage(1, 1))
        traces.add(gateway.db, [replace(trace, created=1e9 + 60 * number, member=f"m{number}")])
    return gateway.http(secret)


def test_from_finding_to_deciding(http: httpx.Client, gateway: Any) -> None:
    """Look, list, see one with its questions, accept it twice, fail to dismiss it."""
    assert http.get("/api/insights").json()["data"] == []
    made = http.post("/api/insights", json={})
    assert made.status_code == 201, made.text
    (one,) = made.json()["data"]
    assert (one["object"], one["status"], one["size"], one["proposal"]) == ("insight", "open", 9, "knowledge")
    whole = http.get(f"/api/insights/{one['id']}").json()
    assert len(whole["questions"]) == 9
    assert "ann@example.org" not in str(whole)
    given = {"answers": ["On a red leash."], "accept": ["red leash"]}
    accepted = http.post(f"/api/insights/{one['id']}/accept", json=given).json()
    assert accepted["status"] == "accepted"
    assert http.post(f"/api/insights/{one['id']}/accept", json=given).json() == accepted
    assert len([each for each in feedback.find(gateway.db, "bank") if each.correction]) == 4
    refused = http.post(f"/api/insights/{one['id']}/dismiss", json={"reason": "no"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert [each["id"] for each in http.get("/api/insights?status=accepted").json()["data"]] == [one["id"]]


def test_bad_input_is_told(http: httpx.Client) -> None:
    """Unknown insights, fields and kinds, and an acceptance of nothing are refused with what to do."""
    (one,) = http.post("/api/insights", json={"since": 0}).json()["data"]
    where = f"/api/insights/{one['id']}"
    for path, body, status in (
        ("/api/insights/insight-none/accept", {}, 404),
        (f"{where}/accept", {"answer": "x"}, 400),
        (f"{where}/accept", {"kind": "prayer"}, 400),
        (f"{where}/accept", {"kind": "samples"}, 400),
        (f"{where}/dismiss", {}, 400),
        ("/api/insights", {"since": -1}, 400),
    ):
        answer = http.post(path, json=body)
        assert answer.status_code == status, (path, answer.text)
        assert answer.json()["error"]["message"]
