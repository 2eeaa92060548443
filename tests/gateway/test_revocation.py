"""Keys that may not: revoked, expired, of a removed member, out of their scope, below the role that is needed."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from feilun.errors import EngineDown
from feilun.gateway.snapshot import POLL_SECONDS, Snapshot
from feilun.records import Deployment
from feilun.store import keys, open_database, verdicts, workspaces
from feilun.store.access import members

BASE = "smollm2-135m-instruct"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hello"}]}
MESSAGES = {**CHAT, "max_tokens": 9}
WAYS: list[tuple[str, str, Any]] = [
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/chat/completions", {**CHAT, "stream": True}),
    ("POST", "/v1/messages", {**MESSAGES, "stream": True}),
    ("POST", "/v1/responses", {"model": BASE, "input": "hello", "stream": True}),
    ("POST", "/v1/embeddings", {"input": "hello"}),
    ("GET", "/v1/models", None),
    ("GET", "/v1/files", None),
    ("GET", "/api/traces", None),
    ("GET", "/metrics", None),
]
Wait = Callable[[Callable[[], object]], None]


def statuses(http: httpx.Client) -> set[int]:
    """Return what every way answers."""
    return {http.request(method, path, json=body).status_code for method, path, body in WAYS}


def test_a_revoked_key_is_refused_everywhere_at_once(gateway: Any) -> None:
    """From the answer to the revocation on, whole calls and streams, on connections that were open already."""
    owner = gateway.http(gateway.key())
    made = owner.post("/api/keys", json={"role": "owner"}).json()
    guest = gateway.http(made["secret"])
    assert statuses(guest) == {200}
    assert owner.delete(f"/api/keys/{made['id']}").status_code == 200
    assert statuses(guest) == {401}
    assert guest.post("/v1/messages", json=MESSAGES).json()["type"] == "error"


def test_a_removed_members_keys_are_refused_at_once(gateway: Any) -> None:
    """All of them, everywhere."""
    owner = gateway.http(gateway.key())
    ann = owner.post("/api/members", json={"name": "Ann", "role": "owner"}).json()["id"]
    made = [owner.post("/api/keys", json={"member": ann, "role": "owner"}).json() for _ in range(2)]
    guests = [gateway.http(each["secret"]) for each in made]
    assert [statuses(guest) for guest in guests] == [{200}, {200}]
    owner.delete(f"/api/members/{ann}")
    assert [statuses(guest) for guest in guests] == [{401}, {401}]


@pytest.mark.parametrize("how", ["key", "member"])
def test_what_another_process_revokes_is_refused_soon(gateway: Any, wait: Wait, how: str) -> None:
    """``feilun key revoke`` beside a gateway that runs: it looks more often than once a second."""
    assert POLL_SECONDS <= 0.5
    gateway.key()
    ann = members.add(gateway.db, "bank", "Ann", "owner")
    key, secret = keys.create(gateway.db, "bank", "hers", "owner", ann.id)
    guest = gateway.http(secret)
    wait(lambda: guest.get("/v1/models").status_code == 200)
    if how == "key":
        keys.revoke(gateway.db, "bank", key.id)
    else:
        members.remove(gateway.db, "bank", ann.id)
    wait(lambda: guest.get("/v1/models").status_code == 401)
    assert statuses(guest) == {401}


def test_an_expired_key_is_refused_everywhere(gateway: Any, wait: Wait) -> None:
    """At its time, without anybody doing anything."""
    owner = gateway.http(gateway.key())
    ends = time.time() + 3
    guest = gateway.http(owner.post("/api/keys", json={"role": "owner", "expires_at": ends}).json()["secret"])
    assert guest.get("/v1/models").status_code == 200 or time.time() > ends
    wait(lambda: time.time() > ends)
    assert statuses(guest) == {401}


def test_a_key_that_is_revoked_while_its_body_comes_is_refused(gateway: Any) -> None:
    """It was good when the headers came; what counts is when the call would begin."""
    owner = gateway.http(gateway.key())
    made = owner.post("/api/keys", json={"role": "owner"}).json()
    body = json.dumps(CHAT).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {made['secret']}\r\n"
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        assert owner.delete(f"/api/keys/{made['id']}").status_code == 200
        raw.sendall(body[10:])
        assert raw.recv(65536).startswith(b"HTTP/1.1 401 ")


def operations(gateway: Any) -> list[tuple[str, str]]:
    """Return every operation that needs a key, with nobody's ids in its path."""
    paths = httpx.get(f"{gateway.url}/openapi.json", timeout=60).json()["paths"].items()
    return [(method.upper(), path) for path, each in paths for method in each if path not in {"/health", "/ready"}]


def refused(gateway: Any, http: httpx.Client) -> set[tuple[str, str]]:
    """Return the operations that a key is refused, whatever it sends."""
    found = set()
    for method, path in operations(gateway):
        answer = http.request(method, path.replace("{", "").replace("}", "-x"), json=BODIES.get((method, path)))
        assert answer.status_code != 401
        assert answer.status_code < 500, answer.text
        if answer.status_code == 403:
            found.add((method, path))
    return found


BODIES = {
    ("POST", "/api/feedback"): {"trace": "trace-x", "thumb": 1},
    ("POST", "/api/keys"): {"member": "nobody"},
    ("POST", "/api/members"): {"name": " "},
    ("PATCH", "/api/sources/{source_id}"): {},
    ("POST", "/api/deployments/rollback"): {"deployment": "deployment-x"},
    ("POST", "/api/rollouts"): {"model": "model-x"},
    ("PATCH", "/api/wheel"): {},
    ("PUT", "/api/providers/{name}"): {"url": "none"},
    ("PUT", "/api/endpoints/{name}"): {"targets": [{"model": "m", "provider": "none"}]},
    ("PUT", "/api/limits"): {"scope": "key", "target": "key-x", "concurrent": 1},
}
DATA = ("/v1/files", "/v1/fine_tuning", "/v1/evals")


def test_a_scope_is_all_that_a_key_may(gateway: Any) -> None:
    """Each operation belongs to one scope, and keys of the other two are refused there."""
    owner = gateway.http(gateway.key())
    everything = set(operations(gateway))
    of = {
        "admin": {each for each in everything if each[1].startswith(("/api", "/metrics"))},
        "data": {each for each in everything if each[1].startswith(DATA)},
    }
    of["models"] = everything - of["admin"] - of["data"]
    assert min(map(len, of.values())) > 10
    for scope, may in of.items():
        made = owner.post("/api/keys", json={"role": "owner", "scopes": [scope]}).json()
        assert refused(gateway, gateway.http(made["secret"])) == everything - may, scope


def test_a_role_is_all_that_a_key_may(gateway: Any) -> None:
    """Viewers call models and see their use, annotators judge, builders build, and people are the owners' matter."""
    everything = set(operations(gateway))
    owners = {
        each
        for each in everything
        if each[1].startswith(("/api/keys", "/api/members", "/api/providers", "/api/limits", "/api/audit"))
    }
    owners |= {("POST", "/api/deployments/rollback"), ("PATCH", "/api/permissions")}
    owners |= {each for each in everything if each[1].startswith("/api/rollouts") and each[0] == "POST"}
    owners |= {("PATCH", "/api/wheel"), ("POST", "/api/wheel/run")}
    called = ("/v1/chat", "/v1/completions", "/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/rerank", "/v1/mod")
    may = {each for each in everything if each[1].startswith(called)}
    may |= {("GET", "/api/usage"), ("GET", "/api/feedback")}
    may |= {("GET", "/api/leaderboard"), ("GET", "/api/rollouts"), ("GET", "/api/rollouts/{rollout_id}")}
    assert refused(gateway, gateway.http(gateway.key(role="viewer"))) == everything - may
    may.add(("POST", "/api/feedback"))
    rows = "/api/review/items/{review_id}"
    may |= {("POST", "/api/review/next"), ("POST", f"{rows}/decision"), ("POST", f"{rows}/skip")}
    assert refused(gateway, gateway.http(gateway.key(role="annotator"))) == everything - may
    assert refused(gateway, gateway.http(gateway.key(role="builder"))) == owners
    assert refused(gateway, gateway.http(gateway.key(role="owner"))) == set()


async def test_a_model_that_loads_for_long_keeps_no_revocation_waiting(tmp_path: Path) -> None:
    """The earlier deployment serves until the newer one is ready; keys, limits and the rest hold at once."""
    db = open_database(tmp_path / "home")
    workspaces.ensure(db, "bank")
    key, secret = keys.create(db, "bank", "hers", "owner")
    verdicts.promote(db, Deployment("deployment-a", "bank", "own", "model-a"))
    snapshot, loaded, tried = Snapshot(db), asyncio.Event(), []

    async def prepare(deployment: Deployment) -> None:
        tried.append(deployment.id)
        await loaded.wait()
        if len(tried) == 1:
            raise EngineDown("It does not load at first.")

    def serving() -> str:
        found = snapshot.route("bank", "own")
        return found.id if found is not None else ""

    await snapshot.refresh()
    assert (serving(), snapshot.key(secret) is not None) == ("deployment-a", True)
    verdicts.promote(db, Deployment("deployment-b", "bank", "own", "model-b"))
    await snapshot.refresh(prepare)
    keys.revoke(db, "bank", key.id)
    await snapshot.refresh(prepare)
    assert (serving(), snapshot.key(secret)) == ("deployment-a", None)
    loaded.set()
    await snapshot.settled(prepare)
    assert serving() == "deployment-a"
    await snapshot.settled(prepare)
    assert (serving(), tried) == ("deployment-b", ["deployment-b"] * 2)
    db.close()
