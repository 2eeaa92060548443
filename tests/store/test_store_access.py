"""Members, keys, providers, endpoints, limits, stored responses: what is kept, what is refused, what readers notice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from feilun.errors import BadRequest, Conflict, FeilunError, NotFound
from feilun.records import Endpoint, Eval, EvalItem, Limit, ModelVersion, Provider, Role, Target, new_id
from feilun.store import Database, changes, evals, keys, models, workspaces
from feilun.store.access import endpoints, limits, members, providers
from feilun.store.calls import responses
from feilun.store.calls.responses import StoredResponse
from feilun.store.schema import KEYS

REMOTE = Provider("provider-1", "bank", "cloud", "openai", "https://api.example.com/v1")


@pytest.fixture
def noticed(db: Database) -> Callable[[], bool]:
    """Give a way to say whether the change number grew since it was last asked."""
    seen = [changes.number(db)]

    def grew() -> bool:
        seen.append(changes.number(db))
        return seen[-1] > seen[-2]

    return grew


def _endpoint(
    name: str = "task", *fallback: str, targets: tuple[Target, ...] = (Target("own"),), **more: Any
) -> Endpoint:
    return Endpoint(new_id("endpoint"), "bank", name, targets, fallback, **more)


def test_members_come_and_go(db: Database, noticed: Callable[[], bool]) -> None:
    """A name is taken once, by one who is there; a removed member stays on record."""
    ann = members.add(db, "bank", " Ann 安 ", "builder")
    assert noticed()
    assert members.find(db, "bank") == [ann]
    assert (ann.name, members.find(db, "other")) == ("Ann 安", [])
    with pytest.raises(Conflict):
        members.add(db, "bank", "Ann 安", "viewer")
    assert members.resolve(db, "bank", "Ann 安") == members.resolve(db, "bank", ann.id) == ann
    members.remove(db, "bank", ann.id)
    assert noticed()
    assert members.get(db, "bank", ann.id).removed
    again = members.add(db, "bank", "Ann 安", "viewer")
    assert members.resolve(db, "bank", "Ann 安") == again
    for wrong in (lambda: members.remove(db, "other", ann.id), lambda: members.add(db, "nowhere", "a", "viewer")):
        with pytest.raises(NotFound):
            wrong()
    for name, role in (("", "viewer"), ("a" * 201, "viewer"), ("Bob", "king")):
        with pytest.raises(BadRequest):
            members.add(db, "bank", name, role)


def test_a_removed_members_keys_are_of_no_use(db: Database) -> None:
    """At once, also a new one cannot be made; other keys go on."""
    ann = members.add(db, "bank", "Ann", "builder")
    hers, _ = keys.create(db, "bank", "laptop", "viewer", ann.id, scopes=("data", "models", "models"))
    other, _ = keys.create(db, "bank", "robot", "owner")
    assert keys.all_active(db) == {hers.sha256: hers, other.sha256: other}
    assert (hers.member, hers.scopes) == (ann.id, ("models", "data"))
    assert keys.get(db, "bank", hers.id) == hers
    members.remove(db, "bank", ann.id)
    assert keys.all_active(db) == {other.sha256: other}
    with pytest.raises(BadRequest, match="removed"):
        keys.create(db, "bank", "laptop", "viewer", ann.id)


def test_keys_expire(db: Database) -> None:
    """Until then they hold and say how long; afterwards they are not there."""
    key, _ = keys.create(db, "bank", "guest", "viewer", expires=time.time() + 1000)
    assert keys.all_active(db)[key.sha256].expires == key.expires
    with db.writing() as conn:
        conn.execute(sa.update(KEYS).values(expires=time.time() - 1))
    assert keys.all_active(db) == {}
    assert [each.id for each in keys.find(db, "bank")] == [key.id]


@pytest.mark.parametrize("expires", [0.0, float("nan"), float("inf"), -1.0])
def test_keys_that_cannot_be_are_refused(db: Database, expires: float) -> None:
    """Expired ones, unknown scopes and members, a role above the member's."""
    ann = members.add(db, "bank", "Ann", "annotator")
    wrong: list[dict[str, Any]] = [{"expires": expires}, {"scopes": ("all",)}, {"member": ann.id, "role": "builder"}]
    for more in wrong:
        with pytest.raises(BadRequest):
            keys.create(db, "bank", "key", **{"role": "viewer", **more})
    for ws, member in (("bank", "member-none"), ("other", ann.id)):
        with pytest.raises(NotFound):
            keys.create(db, ws, "key", "viewer", member)
    assert keys.find(db, "bank") == []


def test_a_providers_key_is_sealed(db: Database, noticed: Callable[[], bool]) -> None:
    """It is nowhere in the row, comes back with the master key, and stays when only the address changes."""
    kept = providers.put(db, REMOTE, " sk-very-secret-1234\n")
    assert noticed()
    assert "secret" not in str(kept)
    assert kept.hint == "…1234"
    assert providers.unseal(db, providers.get(db, "bank", "cloud")) == "sk-very-secret-1234"
    moved = providers.put(db, replace(REMOTE, id="provider-2", url="http://10.0.0.1:8000"))
    assert moved == replace(kept, url="http://10.0.0.1:8000")
    assert providers.find(db, "bank") == providers.all_of(db) == [moved]
    bare = providers.put(db, REMOTE, "")
    assert (providers.unseal(db, bare), bare.hint) == ("", "")
    assert providers.find(db, "other") == []
    endpoints.put(db, _endpoint(targets=(Target("gpt", "cloud"),)))
    with pytest.raises(Conflict, match="task"):
        providers.remove(db, "bank", "cloud")
    endpoints.remove(db, "bank", "task")
    providers.remove(db, "bank", "cloud")
    with pytest.raises(NotFound):
        providers.get(db, "bank", "cloud")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"name": name} for name in ("", "a b", "-a", "a" * 64, "云")),
        *(
            {"url": url}
            for url in ("", "ftp://a", "https://", "https://u:p@a/", "https://a/?key=1", "https://a:x", "https://a\r\n")
        ),
        {"api": "soap"},
    ],
)
def test_providers_that_cannot_be_are_refused(db: Database, wrong: dict[str, Any]) -> None:
    """Names, addresses and APIs; a key that would break a header."""
    with pytest.raises(BadRequest):
        providers.put(db, replace(REMOTE, **wrong), "sk")
    for secret in ("a b", "a\r\nHost: x", "密", "x" * 5000):
        with pytest.raises(BadRequest):
            providers.put(db, REMOTE, secret)
    assert providers.find(db, "bank") == []
    with pytest.raises(NotFound):
        providers.put(db, replace(REMOTE, workspace="nowhere"))


def test_endpoints_are_kept_as_they_were(db: Database, noticed: Callable[[], bool]) -> None:
    """Every field comes back; the one of a name is replaced and keeps its id."""
    providers.put(db, REMOTE, "sk")
    targets = (Target("own", "", 3.0), Target("gpt", "cloud", 0.0, 2500, 10_000, 128_000, True))
    more = {
        "sticky": "prefix",
        "policy": "cheapest",
        "exam": "eval-1",
        "bar": 0.8,
        "timeouts": {"first": 2.5, "total": 0},
    }
    first = endpoints.put(db, _endpoint("org/task-1", "spare", targets=targets, retries=0, **more))
    assert noticed()
    assert endpoints.get(db, "bank", "org/task-1") == first
    second = endpoints.put(db, _endpoint("org/task-1"))
    assert second.id == first.id
    assert endpoints.find(db, "bank") == endpoints.all_of(db) == [second]
    assert (second.fallback, second.sticky, second.timeouts) == ((), "", {})
    endpoints.remove(db, "bank", "org/task-1")
    assert noticed()
    for wrong in (endpoints.get, endpoints.remove):
        with pytest.raises(NotFound):
            wrong(db, "bank", "org/task-1")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"name": name} for name in ("", " a", "a b", "/a", "a" * 129, "任务")),
        *({"targets": targets} for targets in ((), (Target("m"),) * 2, (Target("m", weight=0.0),), (Target(""),))),
        *({"targets": (Target("m", weight=weight),)} for weight in (-1.0, float("nan"), float("inf"))),
        *({"targets": (Target("m", **{name: -1}),)} for name in ("price_in", "price_out", "context")),
        *({"targets": (Target("m", price_out=10**13),)}, {"targets": (Target("m", "nowhere"),)}),
        *({"fallback": fallback} for fallback in (("task",), ("a", "a"), ("",), tuple("abcdefghi"))),
        *(
            {"timeouts": timeouts}
            for timeouts in ({"soon": 1}, {"first": 0}, {"first": "1"}, {"total": -1}, {"total": True})
        ),
        *({"timeouts": {"first": 10**400}}, {"sticky": "glue"}, {"policy": "best"}, {"policy": "cheapest"}),
        *({"bar": 1.5}, {"bar": float("nan")}, {"retries": -1}, {"retries": 11}),
    ],
)
def test_endpoints_that_cannot_be_are_refused(db: Database, wrong: dict[str, Any]) -> None:
    """Before anything is kept."""
    with pytest.raises(BadRequest):
        endpoints.put(db, replace(_endpoint(), **wrong))
    assert endpoints.find(db, "bank") == []


def test_fallbacks_never_go_round(db: Database) -> None:
    """However long the chain; one that is not there yet is allowed until it closes the ring."""
    endpoints.put(db, _endpoint("a", "b"))
    endpoints.put(db, _endpoint("b", "c", "own"))
    endpoints.put(db, replace(_endpoint("c", "a"), workspace="other"))
    with pytest.raises(BadRequest, match="come back"):
        endpoints.put(db, _endpoint("c", "d", "a"))
    endpoints.put(db, _endpoint("c", "d"))
    assert [each.name for each in endpoints.find(db, "bank")] == ["a", "b", "c"]


def test_limits_are_kept_one_for_each_target(db: Database, noticed: Callable[[], bool]) -> None:
    """Every number comes back; None is no limit and 0 is nothing at all."""
    key, _ = keys.create(db, "bank", "k", "viewer")
    ann = members.add(db, "bank", "Ann", "viewer")
    numbers = {name: 2**40 + at for at, name in enumerate(limits.NUMBERS)}
    assert len(numbers) == 7
    noticed()
    whole = limits.put(db, Limit("limit-1", "bank", "workspace", "", **numbers, soft=0.5))
    assert noticed()
    assert whole.target == "bank"
    with pytest.raises(BadRequest, match="not another"):
        limits.put(db, Limit("limit-2", "bank", "workspace", "other", concurrent=1))
    assert limits.get(db, "bank", "limit-1") == whole
    for scope, target in (("key", key.id), ("member", ann.id), ("endpoint", "own")):
        limits.put(db, Limit(f"limit-{scope}", "bank", scope, target, concurrent=0))
    again = limits.put(db, Limit("limit-9", "bank", "key", key.id, requests_per_minute=5))
    assert (again.id, again.concurrent) == ("limit-key", None)
    assert len(limits.find(db, "bank")) == len(limits.all_of(db)) == 4
    assert limits.find(db, "other") == []
    limits.remove(db, "bank", "limit-key")
    with pytest.raises(NotFound):
        limits.remove(db, "bank", "limit-key")
    for scope, target in (("key", "key-none"), ("member", "Ann")):
        with pytest.raises(NotFound):
            limits.put(db, Limit("limit-x", "bank", scope, target, concurrent=1))
    wrong: list[dict[str, Any]] = [{}, {"concurrent": -1}, {"concurrent": 2**63}, {"concurrent": 1, "soft": 1.1}]
    for more in wrong:
        with pytest.raises(BadRequest):
            limits.put(db, Limit("limit-x", "bank", "endpoint", "own", **more))
    for scope, target in (("planet", "earth"), ("endpoint", "a b")):
        with pytest.raises(BadRequest):
            limits.put(db, Limit("limit-x", "bank", scope, target, concurrent=1))


def test_stored_responses(db: Database) -> None:
    """Kept as they were, replaced by their id, private, forgotten on demand."""
    made = StoredResponse(
        "resp-1", "bank", {"id": "resp-1", "n": 1}, ({"role": "user", "content": "问"},), "resp-0", 1.0
    )
    responses.add(db, made)
    assert responses.get(db, "bank", "resp-1") == made
    responses.add(db, replace(made, body={"id": "resp-1", "n": 2}))
    assert responses.get(db, "bank", "resp-1").body["n"] == 2
    for wrong in (responses.get, responses.delete):
        with pytest.raises(NotFound):
            wrong(db, "other", "resp-1")
    responses.delete(db, "bank", "resp-1")
    with pytest.raises(NotFound):
        responses.get(db, "bank", "resp-1")
    with pytest.raises(FeilunError):
        responses.add(db, replace(made, workspace="nowhere"))


def test_the_highest_role_is_the_owners() -> None:
    """Roles are ranked as the gateway's door ranks them."""
    ranked: list[Role] = ["viewer", "annotator", "builder", "owner"]
    assert sorted(ranked, key=members.rank) == ranked


HIDDEN = ["a\nb", "\x1b[31mred", "tab\tx", "a\u2028b", "\u202egnp.exe", "half \ud800", "n" * 201, "", "  "]


@pytest.mark.parametrize("name", HIDDEN)
def test_names_cannot_steer_who_reads_them(db: Database, name: str) -> None:
    """Line ends, escapes, turned writing, and names without end are refused wherever a name is given, and not kept."""
    exam = Eval("eval-1", "bank", name, (EvalItem("q", ("a",), "exam", ()),))
    makers: list[Callable[[], Any]] = [
        lambda: members.add(db, "bank", name, "viewer"),
        lambda: keys.create(db, "bank", name, "viewer"),
        lambda: providers.put(db, replace(REMOTE, name=name), "k"),
        lambda: endpoints.put(db, _endpoint(name)),
        lambda: workspaces.ensure(db, name),
        lambda: evals.add_named(db, exam),
        lambda: evals.add(db, exam),
        lambda: models.add(db, ModelVersion("model-1", "bank", name, "base", "", "", {})),
    ]
    for make in makers:
        with pytest.raises(BadRequest):
            make()
    assert (members.find(db, "bank"), providers.find(db, "bank"), evals.find(db, "bank")) == ([], [], [])


def test_names_in_any_writing_are_kept(db: Database) -> None:
    """Chinese, right-to-left and composed names are names; blanks around them are not part of them."""
    for name in ("李 明", "سارة", "Zoë 👩‍👩‍👧", "a\u3000b"):
        assert members.add(db, "bank", f" {name} ", "viewer").name == name
        assert keys.create(db, "bank", name, "viewer")[0].name == name
