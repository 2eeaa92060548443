"""Running a workspace over HTTP: keys, members, providers, endpoints, limits, usage; each for whom it is."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from feilun.records import Trace, Usage
from feilun.store import traces
from feilun.store.access import providers

Wait = Callable[[Callable[[], object]], None]
NOWHERE = {"authorization": "Bearer fl-none"}
TASK = {
    "targets": [
        {"model": "own", "weight": 3},
        {
            "model": "gpt",
            "provider": "cloud",
            "price_in": "2.50",
            "price_out": 10.001,
            "context": 128000,
            "images": True,
        },
    ],
    "fallback": ["spare"],
    "sticky": "conversation",
    "timeouts": {"first": 2.5, "total": 0},
    "retries": 0,
}


@pytest.fixture
def http(gateway: Any) -> httpx.Client:
    """Give a plain client of an owner."""
    return gateway.http(gateway.key())


def test_keys_are_made_for_members_and_end_with_them(gateway: Any, http: httpx.Client) -> None:
    """The secret is shown once and works; a scope holds; a revoked key, and a removed member's, are unknown at once."""
    ann = http.post("/api/members", json={"name": "Ann 安", "role": "builder"}).json()
    assert ann["removed"] is False
    wanted = {"name": "laptop", "role": "viewer", "member": "Ann 安", "scopes": ["models", "admin"]}
    made = http.post("/api/keys", json=wanted)
    assert made.status_code == 201
    key = made.json()
    assert (key["member"], key["scopes"], key["expires_at"]) == (ann["id"], ["models", "admin"], None)
    hers = gateway.http(key["secret"])
    assert hers.get("/v1/models").status_code == 200
    assert hers.get("/v1/files").status_code == 403
    listed = http.get("/api/keys").json()["data"]
    assert [each["id"] for each in listed][1:] == [key["id"]]
    assert key["secret"] not in str(listed)
    assert http.get(f"/api/keys/{key['id']}").json() == listed[1]
    second = http.post("/api/keys", json={"member": ann["id"]}).json()
    assert http.delete(f"/api/keys/{key['id']}").json() == {"id": key["id"], "object": "key", "deleted": True}
    assert hers.get("/v1/models").status_code == 401
    assert http.get(f"/api/keys/{key['id']}").json()["revoked"] is True
    other = gateway.http(second["secret"])
    assert other.get("/v1/models").status_code == 200
    assert http.delete(f"/api/members/{ann['id']}").status_code == 200
    assert other.get("/v1/models").status_code == 401
    assert http.get(f"/api/members/{ann['id']}").json()["removed"] is True
    assert http.get("/api/members").json()["data"][0]["name"] == "Ann 安"


def test_a_key_ends_by_itself(gateway: Any, http: httpx.Client, wait: Wait) -> None:
    """At its time, to the moment."""
    ends = time.time() + 5  # a busy machine may need long to make it
    key = http.post("/api/keys", json={"expires_at": ends}).json()
    guest = gateway.http(key["secret"])
    assert guest.get("/v1/models").status_code == 200 or time.time() > ends
    wait(lambda: time.time() > ends)
    assert guest.get("/v1/models").status_code == 401


def test_people_and_keys_that_cannot_be_are_refused(http: httpx.Client) -> None:
    """With an error that has a code, and nothing is made."""
    wrong: list[tuple[str, dict[str, Any], int]] = [
        *(("keys", body, 400) for body in ({"role": "king"}, {"scopes": ["all"]}, {"name": "a\0"}, {"secret": "mine"})),
        *(("keys", {"expires_at": stamp}, 400) for stamp in (5, 1e300, "soon", -1)),
        ("keys", {"member": "nobody"}, 404),
        *(("members", {"name": name}, 400) for name in ("", "\ud800", " ", "a" * 201, None)),
        ("members", {"name": "a", "role": None}, 400),
    ]
    for path, body, status in wrong:
        answer = http.post(f"/api/{path}", content=json.dumps(body), headers={"content-type": "application/json"})
        assert answer.status_code == status, body
        assert answer.json()["error"]["code"]
    assert len(http.get("/api/keys").json()["data"]) == 1
    assert http.get("/api/members").json()["data"] == []


def test_a_providers_key_goes_in_and_never_comes_out(gateway: Any, http: httpx.Client) -> None:
    """Neither in an answer nor in an error; an address without a key leaves it as it is."""
    secret = "sk-very-secret-9876"
    wanted = {"api": "anthropic", "url": "https://api.example.com", "key": secret}
    kept = http.put("/api/providers/cloud", json=wanted)
    assert kept.status_code == 200
    assert (kept.json()["hint"], kept.json()["has_key"]) == ("…9876", True)
    moved = http.put("/api/providers/cloud", json={"url": "https://api.example.org/v1"})
    assert (moved.json()["api"], moved.json()["has_key"]) == ("openai", True)
    assert http.get("/api/providers").json()["data"] == [http.get("/api/providers/cloud").json()] == [moved.json()]
    assert providers.unseal(gateway.db, providers.get(gateway.db, "bank", "cloud")) == secret
    for wrong in ({**wanted, "url": "ftp://x"}, {**wanted, "key": f"{secret} {secret}"}, {**wanted, "api": secret}):
        answer = http.put("/api/providers/cloud", json=wrong)
        assert answer.status_code == 400
        assert secret not in answer.text
    assert secret not in kept.text + moved.text
    assert http.put("/api/endpoints/task", json=TASK).status_code == 200
    assert http.delete("/api/providers/cloud").status_code == 409
    assert http.delete("/api/endpoints/task").status_code == 200
    assert http.delete("/api/providers/cloud").json()["id"] == kept.json()["id"]
    assert http.get("/api/providers/cloud").status_code == 404


def test_endpoints_are_set_up_with_exact_prices(http: httpx.Client) -> None:
    """Whole, replaced as a whole, under names with a slash too; what would be rounded is refused."""
    http.put("/api/providers/cloud", json={"url": "https://api.example.com/v1"})
    made = http.put("/api/endpoints/org/task", json=TASK).json()
    assert [(each["price_in"], each["price_out"]) for each in made["targets"]] == [("0", "0"), ("2.5", "10.001")]
    assert made["timeouts"] == {"first": 2.5, "total": 0.0}
    assert http.get("/api/endpoints/org/task").json() == made
    again = http.put("/api/endpoints/org/task", json={"targets": [{"model": "own"}]}).json()
    assert (again["id"], again["fallback"], again["retries"]) == (made["id"], [], 2)
    assert http.get("/api/endpoints").json()["data"] == [again]
    target = TASK["targets"][1]
    for wrong in (
        *({"targets": [{**target, "price_in": price}]} for price in ("2.5001", "-1", "NaN", "much", 1e300, None)),
        *({"targets": targets} for targets in ([], [{"model": "m", "weight": 0}], [{**target, "provider": "none"}])),
        *({"targets": [target], "fallback": ["org/task"]}, {"targets": [target], "timeouts": {"soon": 1}}),
        *({"targets": [target], "policy": "cheapest"}, {"targets": [target], "retries": 10**400}),
    ):
        assert http.put("/api/endpoints/org/task", json=wrong).status_code == 400, wrong
    assert http.put("/api/endpoints/a b", json=TASK).status_code == 400
    assert http.delete("/api/endpoints/org/task").status_code == 200
    assert http.get("/api/endpoints/org/task").status_code == 404


def test_limits_are_set_read_and_lifted(http: httpx.Client) -> None:
    """Money as decimals, members by name; one limit for each target."""
    ann = http.post("/api/members", json={"name": "Ann"}).json()["id"]
    made = http.put("/api/limits", json={"scope": "member", "target": "Ann", "money_per_day": "1.000000001"}).json()
    assert (made["target"], made["money_per_day"], made["money_per_month"]) == (ann, "1.000000001", None)
    whole = http.put("/api/limits", json={"scope": "workspace", "tokens_per_day": 0, "soft": 0.5}).json()
    assert (whole["target"], whole["tokens_per_day"]) == ("bank", 0)
    assert http.get("/api/limits").json()["data"] == [made, whole]
    assert http.get(f"/api/limits/{whole['id']}").json() == whole
    for wrong in (
        *({"scope": "workspace"}, {"scope": "planet", "concurrent": 1}, {"scope": "workspace", "concurrent": -1}),
        *({"scope": "workspace", "money_per_day": "0.0000000001"}, {"scope": "endpoint", "concurrent": 1}),
    ):
        assert http.put("/api/limits", json=wrong).status_code == 400, wrong
    assert http.put("/api/limits", json={"scope": "key", "target": "key-none", "concurrent": 1}).status_code == 404
    assert http.delete(f"/api/limits/{made['id']}").status_code == 200
    assert http.get("/api/limits").json()["data"] == [whole]


def _spend(gateway: Any, key: str, member: str, cost: int, endpoint: str = "own") -> None:
    call = Trace(f"trace-{key}-{cost}", "bank", key, endpoint, "m,1", (), "", "stop", Usage(10, 5), created=1.8e9)
    traces.add(gateway.db, [Trace(**{n: getattr(call, n) for n in call.__slots__} | {"member": member, "cost": cost})])


def test_usage_is_told_as_json_and_csv(gateway: Any, http: httpx.Client) -> None:
    """By whatever is asked for; costs are exact; the CSV can be read by any program."""
    for number, member in enumerate(("ann", "ann", "bob"), start=1):
        _spend(gateway, f"key-{number}", member, 10**9 + number, "own" if member == "ann" else "=task")
    found = http.get("/api/usage", params={"by": "member"}).json()
    assert found["currency"] == "CNY"
    sums = {"calls": 2, "prompt_tokens": 20, "completion_tokens": 10, "cached_tokens": 0, "cost": "2.000000003"}
    assert found["data"][0] == {"member": "ann", **sums}
    (row,) = http.get("/api/usage", params={"by": "key", "member": "bob", "since": "2027-01-15"}).json()["data"]
    assert (row["key"], row["cost"]) == ("key-3", "1.000000003")
    assert http.get("/api/usage", params={"until": "2027-01-14"}).json()["data"] == []
    answer = http.get("/api/usage", params={"format": "csv", "by": "model,endpoint"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(each["model"], each["calls"]) for each in rows] == [("m,1", "1"), ("m,1", "2")]
    assert not any(cell.startswith(("=", "+", "-", "@")) for each in rows for cell in each.values())
    for wrong in ({"by": "colour"}, {"by": "day,day"}, {"since": "soon"}, {"since": "2026-02-30"}, {"format": "xml"}):
        assert http.get("/api/usage", params=wrong).status_code == 400, wrong


def test_a_viewer_sees_only_what_is_theirs(gateway: Any, http: httpx.Client) -> None:
    """Their own, also when they ask for another's; a member's keys are all theirs."""
    ann = http.post("/api/members", json={"name": "Ann"}).json()["id"]
    hers = http.post("/api/keys", json={"role": "viewer", "member": ann}).json()
    alone = http.post("/api/keys", json={"role": "annotator"}).json()
    _spend(gateway, hers["id"], ann, 1)
    _spend(gateway, "key-of-ann-too", ann, 2)
    _spend(gateway, alone["id"], "", 4)
    _spend(gateway, "key-x", "bob", 8)
    for secret, cost in ((hers["secret"], "0.000000003"), (alone["secret"], "0.000000004")):
        for asked in ({}, {"member": "bob"} if secret == hers["secret"] else {}):
            (row,) = gateway.http(secret).get("/api/usage", params=asked).json()["data"]
            assert row["cost"] == cost
    (row,) = http.get("/api/usage").json()["data"]
    assert row["cost"] == "0.000000015"


def test_roles_and_workspaces_are_kept_apart(gateway: Any, http: httpx.Client) -> None:
    """Owners run a workspace, builders its endpoints; nobody sees or changes another workspace's."""
    http.put("/api/providers/cloud", json={"url": "https://api.example.com/v1"})
    http.put("/api/endpoints/task", json=TASK)
    ids = {
        "keys": http.post("/api/keys", json={}).json()["id"],
        "members": http.post("/api/members", json={"name": "Ann"}).json()["id"],
        "limits": http.put("/api/limits", json={"scope": "workspace", "concurrent": 9}).json()["id"],
        "providers": "cloud",
        "endpoints": "task",
    }
    builder, viewer = (gateway.http(gateway.key(role=role)) for role in ("builder", "viewer"))
    other = gateway.http(gateway.key("other"))
    for group, one in ids.items():
        least = 200 if group == "endpoints" else 403
        for path in (f"/api/{group}", f"/api/{group}/{one}"):
            assert builder.get(path).status_code == least, path
            assert viewer.get(path).status_code == 403, path
            assert http.get(path, headers=NOWHERE).status_code == 401, path
        assert builder.delete(f"/api/{group}/{one}").status_code == least
        assert other.get(f"/api/{group}/{one}").status_code == 404
        assert other.delete(f"/api/{group}/{one}").status_code == 404
        assert [each["id"] for each in other.get(f"/api/{group}").json()["data"] if group != "keys"] == []
    assert builder.put("/api/endpoints/task", json=TASK).status_code == 200
    assert builder.put("/api/limits", json={"scope": "workspace", "concurrent": 10**6}).status_code == 403
    assert builder.put("/api/providers/mine", json={"url": "https://x.example"}).status_code == 403
    assert builder.post("/api/keys", json={"role": "owner"}).status_code == 403


def test_the_document_hides_what_goes_in_only(http: httpx.Client) -> None:
    """The provider's key is write-only, the key's secret is in one answer; every operation says what it does."""
    document = http.get("/openapi.json").json()
    shapes = document["components"]["schemas"]
    assert shapes["ProviderRequest"]["properties"]["key"]["writeOnly"] is True
    assert [name for name, shape in shapes.items() if "secret" in shape.get("properties", {})] == ["KeyMade"]
    places = ("/api/keys", "/api/limits", "/api/usage")
    ours = {path: each for path, each in document["paths"].items() if path.startswith(places)}
    assert len(ours) == 5
    assert all(operation["description"] for each in ours.values() for operation in each.values())
