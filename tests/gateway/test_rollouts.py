"""A version takes an endpoint over in stages, through a real gateway: divided, compared, rolled back, promoted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.conftest import running

from feilun.engines.fake import FakeEngine
from feilun.engines.seam import Delta, Request
from feilun.errors import BadModel, EngineDown
from feilun.records import Deployment, ModelVersion, Trace, Usage
from feilun.settings import Settings
from feilun.store import audit, lineage, models, rollouts, traces, verdicts

OLD, NEW = "model-old", "model-new"
Wait = Callable[[Callable[[], object]], None]


class Lame(FakeEngine):
    """An engine that breaks at every call of one version."""

    async def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Answer, unless it is for that version."""
        if request.model == NEW:
            raise EngineDown("This version stumbles.")
        async for delta in super().generate(request):
            yield delta


class Gone(FakeEngine):
    """An engine that finds nothing where one version should be."""

    async def load(self, version: ModelVersion) -> dict[str, Any]:
        """Load a version, but not that one."""
        if version.id == NEW:
            raise BadModel("The model files are gone.")
        return await super().load(version)


@pytest.fixture
def http(gateway: Any) -> httpx.Client:
    """Give an owner's client of a workspace whose endpoint serves one of two versions."""
    return owner(gateway)


def owner(gateway: Any) -> httpx.Client:
    """Make two versions, promote one, and return an owner's client."""
    made: httpx.Client = gateway.http(gateway.key())
    gateway.wait(lambda: made.post("/v1/chat/completions", json=body("smollm2-135m-instruct")).status_code == 200)
    base = next(one for one in models.find(gateway.db, "bank") if one.kind == "base")
    for name in (OLD, NEW):
        models.add(gateway.db, ModelVersion(name, "bank", name, "adapter", base.id, str(Path("x")), {}))
    verdicts.promote(gateway.db, Deployment("deployment-old", "bank", "own", OLD))
    gateway.wait(lambda: made.post("/v1/chat/completions", json=body()).status_code == 200)
    return made


def body(model: str = "own", question: str = "What is the fee?") -> dict[str, Any]:
    """Return a chat."""
    return {"model": model, "messages": [{"role": "user", "content": question}]}


def ask(http: httpx.Client, conversation: str) -> tuple[str, str]:
    """Ask in a conversation; return which version answered, and the trace."""
    answer = http.post("/v1/chat/completions", json=body(), headers={"x-feilun-conversation": conversation})
    assert answer.status_code == 200, answer.text
    return answer.json()["model_version"], answer.headers["x-feilun-trace"]


def begin(gateway: Any, http: httpx.Client, **more: Any) -> str:
    """Begin a rollout and wait until calls go to its candidate."""
    made = http.post("/api/rollouts", json={"model": NEW, **more})
    assert made.status_code == 201, made.text
    gateway.wait(lambda: made.json()["id"] in gateway.state.snapshot.prepared)
    return str(made.json()["id"])


def shown(http: httpx.Client, rollout: str) -> dict[str, Any]:
    """Return a rollout as the API shows it."""
    found: dict[str, Any] = http.get(f"/api/rollouts/{rollout}").json()
    return found


def test_calls_are_divided_and_conversations_stay(gateway: Any, http: httpx.Client) -> None:
    """About the share of them, each with its version however often it asks; a candidate's calls never go back."""
    rollout = begin(gateway, http)
    first = {f"c{number}": ask(http, f"c{number}")[0] for number in range(200)}
    assert 1 <= sum(model == NEW for model in first.values()) <= 25
    assert {name: ask(http, name)[0] for name in list(first)[:60]} == dict(list(first.items())[:60])
    assert http.post(f"/api/rollouts/{rollout}/promote").json()["share"] == 0.5
    second = {name: ask(http, name)[0] for name in list(first)[:120]}
    assert 35 <= sum(model == NEW for model in second.values()) <= 85
    assert all(second[name] == NEW for name, model in first.items() if model == NEW and name in second)
    assert http.post(f"/api/rollouts/{rollout}/promote").json()["status"] == "promoted"
    gateway.wait(lambda: {ask(http, f"d{number}")[0] for number in range(20)} == {NEW})
    current = verdicts.current(gateway.db, "bank")
    assert current is not None
    assert current.model == NEW


def test_a_version_that_people_dislike_goes_by_itself(gateway: Any, http: httpx.Client) -> None:
    """With its reason in both languages, an entry in the log, its trace in lineage; and everybody gets the old one."""
    rollout = begin(gateway, http)
    http.post(f"/api/rollouts/{rollout}/promote", json={"to": "next"})
    rated, number = 0, 0
    while shown(http, rollout)["status"] == "running" and number < 400:
        number += 1
        model, trace = ask(http, f"c{number}")
        rated += model == NEW
        http.post("/api/feedback", json={"trace": trace, "thumb": "down" if model == NEW and number % 3 else "up"})
    found = shown(http, rollout)
    assert found["status"] == "rolled back"
    assert rated < 200
    assert "rated worse" in found["reason"]["en"]
    assert "评分更低" in found["reason"]["zh"]
    assert found["evidence"]["signals"]["ratings"]["decision"] == "worse"
    assert {ask(http, f"c{number}")[0] for number in range(60)} == {OLD}
    acts = {each.action: each.actor for each in audit.entries(gateway.db, "bank", limit=1000)}
    assert {"rollout.started", "rollout.moved", "rollout.rolled_back"} <= acts.keys()
    assert acts["rollout.rolled_back"] == "rollouts"
    assert (NEW, rollout) in {(edge.parent, edge.child) for edge in lineage.ancestors(gateway.db, "bank", rollout)}
    assert audit.verify(gateway.db, "bank").breaks == ()


def test_a_version_that_shows_no_harm_takes_over_by_itself(gateway: Any, http: httpx.Client) -> None:
    """Stage after stage, each after as many rated calls as its rules say."""
    rollout = begin(gateway, http, rated=20)
    http.post(f"/api/rollouts/{rollout}/promote", json={"to": "next"})
    number = 0
    while shown(http, rollout)["status"] == "running" and number < 400:
        number += 1
        http.post("/api/feedback", json={"trace": ask(http, f"c{number}")[1], "thumb": "up"})
    found = shown(http, rollout)
    assert (found["status"], found["share"]) == ("promoted", 1.0)
    assert "No harm" in found["reason"]["en"]
    back = http.post(f"/api/rollouts/{rollout}/rollback", json={"reason": "The board wants the old one."}).json()
    assert back["status"] == "rolled back"
    assert "The board wants" in back["reason"]["en"]
    assert ask(http, "again")[0] == OLD


def test_a_candidate_that_cannot_answer_harms_nobody(settings: Settings) -> None:
    """Its calls are answered by the other version, and it goes."""
    for gateway in running(settings, Lame()):
        http = owner(gateway)
        rollout = begin(gateway, http)
        http.post(f"/api/rollouts/{rollout}/promote", json={"to": "next"})
        number = 0
        while shown(http, rollout)["status"] == "running":
            number += 1
            assert ask(http, f"c{number}")[0] == OLD
        assert "calls in a row" in shown(http, rollout)["reason"]["en"]
        assert "连续" in shown(http, rollout)["reason"]["zh"]


def test_a_candidate_that_is_gone_never_gets_a_call(settings: Settings) -> None:
    """Its files cannot be loaded: it is rolled back, and it is said why."""
    for gateway in running(settings, Gone()):
        http = owner(gateway)
        made = http.post("/api/rollouts", json={"model": NEW}).json()["id"]
        gateway.wait(lambda http=http, made=made: shown(http, made)["status"] == "rolled back")
        assert "cannot be loaded" in shown(http, made)["reason"]["en"]
        assert "files are gone" in shown(http, made)["reason"]["zh"]


def test_what_a_rollout_saw_survives_a_restart(settings: Settings) -> None:
    """The next gateway on the home goes on with the same evidence: what was rated is read again."""
    rollout = key = ""

    def outcomes(client: httpx.Client) -> int:
        arms = shown(client, rollout)["evidence"].get("signals", {}).get("ratings", {})
        return sum(arms[arm]["outcomes"] for arm in ("incumbent", "candidate")) if arms else 0

    for gateway in running(settings, FakeEngine()):
        http = owner(gateway)
        key = http.headers["authorization"].removeprefix("Bearer ")
        rollout = begin(gateway, http)
        http.post(f"/api/rollouts/{rollout}/promote", json={"to": "next"})
        for number in range(30):
            http.post("/api/feedback", json={"trace": ask(http, f"c{number}")[1], "thumb": "up"})
        gateway.wait(lambda http=http: outcomes(http) == 30)
    for gateway in running(settings, FakeEngine()):
        http = gateway.http(key)
        gateway.wait(lambda gateway=gateway: rollout in gateway.state.snapshot.prepared)
        http.post("/api/feedback", json={"trace": ask(http, "one more")[1], "thumb": "up"})
        gateway.wait(lambda http=http: outcomes(http) == 31)
        assert shown(http, rollout)["share"] == 0.5


def test_what_cannot_be_is_said(gateway: Any, http: httpx.Client) -> None:
    """Unknown versions, the one that serves already, a second rollout at once, one that has ended."""
    assert http.post("/api/rollouts", json={"model": "model-none"}).status_code == 404
    assert http.post("/api/rollouts", json={"model": OLD}).status_code == 400
    assert http.post("/api/rollouts", json={"model": NEW, "endpoint": "nobody"}).status_code == 409
    rollout = begin(gateway, http)
    again = http.post("/api/rollouts", json={"model": NEW})
    assert (again.status_code, rollout in again.json()["error"]["message"]) == (409, True)
    viewer = gateway.http(gateway.key(role="viewer"))
    assert viewer.post(f"/api/rollouts/{rollout}/rollback").status_code == 403
    assert len(viewer.get("/api/rollouts").json()["data"]) == 1
    assert http.post(f"/api/rollouts/{rollout}/rollback").status_code == 200
    assert http.post(f"/api/rollouts/{rollout}/promote").status_code == 409


def test_a_promotion_meanwhile_ends_it(gateway: Any, http: httpx.Client) -> None:
    """Whoever promotes another version means that one."""
    rollout = begin(gateway, http)
    base = models.get(gateway.db, "bank", OLD).base
    models.add(gateway.db, ModelVersion("model-third", "bank", "third", "adapter", base, str(Path("x")), {}))
    verdicts.promote(gateway.db, Deployment("deployment-third", "bank", "own", "model-third"))
    gateway.wait(lambda: shown(http, rollout)["status"] == "superseded")
    gateway.wait(lambda: {ask(http, f"c{number}")[0] for number in range(20)} == {"model-third"})


@pytest.mark.usefixtures("http")
def test_stages_are_only_where_they_can_prove_something(gateway: Any) -> None:
    """Few calls a week: at once, and it is said why; many: a share first. Asked for either way, so it is."""
    db = gateway.db
    made, why = rollouts.promote(db, Deployment("deployment-1", "bank", "own", NEW, ""))
    assert made is None
    assert "7 days" in why["en"]
    assert "7 天" in why["zh"]
    verdicts.promote(db, Deployment("deployment-2", "bank", "own", OLD))
    asked = ({"role": "user", "content": "?"},)
    traces.add(
        db, [Trace(f"trace-{n}", "bank", "key", "own", OLD, asked, "4", "stop", Usage(1, 1)) for n in range(200)]
    )
    made, _ = rollouts.promote(db, Deployment("deployment-3", "bank", "own", NEW, ""))
    assert made is not None
    assert rollouts.promote(db, Deployment("deployment-3", "bank", "own", NEW, ""))[0] == made
    assert rollouts.promote(db, Deployment("deployment-4", "bank", "own", NEW, ""), rollouts.NEVER)[0] is None
    assert rollouts.get(db, "bank", made.id).status == "superseded"
