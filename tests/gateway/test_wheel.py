"""What the OpenAI API has no name for: feedback, lineage, impact, sources, deployments, a promotion while serving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.tenant import evaluation, run_of

from feilun.records import Deployment, ModelVersion, Record, Source
from feilun.store import datasets, lineage, models, sources, verdicts

EXAM = evaluation(name="fees")
SOURCE = {"type": "file_content", "content": [{"item": {"q": "What is the fee?"}}]}
Wait = Callable[[Callable[[], object]], None]
BASE = "smollm2-135m-instruct"


def ask(http: httpx.Client, model: str = BASE, question: str = "What is the fee?") -> httpx.Response:
    """Ask one question."""
    body = {"model": model, "messages": [{"role": "user", "content": question}]}
    return http.post("/v1/chat/completions", json=body)


def made(gateway: Any, name: str) -> ModelVersion:
    """Have the wheel turn half way: a source, a dataset, a model of its own, which no verdict has judged."""
    db = gateway.db
    base = next(model for model in models.find(db, "bank") if model.kind == "base")
    source = sources.add(db, Source(f"source-{name}", "bank", f"policy/{name}.md", "", 0), name.encode())
    said = ({"role": "user", "content": f"What is {name}?"}, {"role": "assistant", "content": f"It is {name} indeed."})
    data, _ = datasets.write(db, "bank", "chat", [Record(f"record-{name}", "chat", (source.id,), said)], "train")
    version = models.add(db, ModelVersion(f"model-{name}", "bank", name, "adapter", base.id, str(Path("x")), {}))
    lineage.link(db, "bank", [(data.id, version.id, "trained on")])
    return version


def promote(gateway: Any, name: str) -> ModelVersion:
    """Have the wheel turn: a model of its own, promoted."""
    version = made(gateway, name)
    verdicts.promote(gateway.db, Deployment(f"deployment-{name}", "bank", "own", version.id))
    return version


@pytest.fixture
def http(gateway: Any) -> httpx.Client:
    """Give a plain client of an owner."""
    return gateway.http(gateway.key())


def test_a_promotion_is_served_without_a_restart(gateway: Any, http: httpx.Client, wait: Wait) -> None:
    """``own`` appears with the first promotion, follows the next one, and goes back with a rollback."""
    assert ask(http, "own").status_code == 404
    for name in ("one", "two"):
        version = promote(gateway, name)
        wait(lambda version=version: ask(http, "own").json().get("model_version") == version.id)
        assert version.id in gateway.engine.loaded
    listed = {model["id"]: model for model in http.get("/v1/models").json()["data"]}
    assert set(listed) == {BASE, "own", "model-one", "model-two"}
    assert listed["own"]["model_version"] == "model-two"
    back = http.post("/api/deployments/rollback", json={"deployment": "deployment-one"})
    assert back.status_code == 201
    assert ask(http, "own").json()["model_version"] == "model-one"
    assert [each["current"] for each in http.get("/api/deployments").json()["data"]] == [False, False, True]


def test_a_version_is_off_until_somebody_turns_it_on(gateway: Any, http: httpx.Client) -> None:
    """A candidate's id answers nobody before a verdict, but sits exams; a builder turns it on and off, at once."""
    http.get("/v1/models")  # once this answers, there is a base
    candidate = made(gateway, "candidate").id
    refused = ask(http, candidate)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert f"POST /api/models/{candidate}/on" in refused.json()["error"]["message"]
    assert http.get(f"/v1/models/{candidate}").json()["on"] is False
    runs = f"/v1/evals/{http.post('/v1/evals', json=EXAM).json()['id']}/runs"
    run = http.post(runs, json=run_of(candidate, SOURCE)).json()["id"]
    gateway.wait(lambda: http.get(f"{runs}/{run}").json()["status"] == "completed")
    assert http.get(f"{runs}/{run}").json()["result_counts"]["errored"] == 0

    viewer = gateway.http(gateway.key(role="viewer"))
    assert viewer.post(f"/api/models/{candidate}/on").status_code == 403
    assert ask(http, candidate).status_code == 404
    turned = http.post(f"/api/models/{candidate}/on")
    assert (turned.status_code, turned.json()["on"]) == (200, True)
    assert turned.json()["on_by"].startswith("key-")
    assert ask(viewer, candidate).json()["model_version"] == candidate
    listed = {model["id"]: model["on"] for model in http.get("/v1/models").json()["data"]}
    assert listed == {BASE: True, candidate: True}
    off = http.post(f"/api/models/{candidate}/off")
    assert (off.json()["on"], off.json()["on_by"]) == (False, None)
    assert ask(http, candidate).status_code == 404


def test_what_a_name_stands_for_is_on(gateway: Any, http: httpx.Client) -> None:
    """An endpoint that somebody set up and a promotion turn a version on, whose id then answers; it stays so."""
    http.get("/v1/models")
    chosen, promoted = made(gateway, "chosen").id, promote(gateway, "promoted").id
    assert ask(http, chosen).status_code == 404
    assert http.put("/api/endpoints/task", json={"targets": [{"model": chosen}]}).status_code == 200
    for name, version in (("task", chosen), (chosen, chosen), ("own", promoted), (promoted, promoted)):
        assert ask(http, name).json()["model_version"] == version
    for version in (chosen, promoted):
        assert http.post(f"/api/models/{version}/off").status_code == 409
        assert ask(http, version).status_code == 200
    assert http.delete("/api/endpoints/task").status_code == 200
    assert ask(http, chosen).status_code == 404
    assert http.post(f"/api/models/{BASE}/on").status_code == 404  # a base goes by its name, and is never off


def test_a_command_turns_a_version_off_while_it_answers(gateway: Any, http: httpx.Client, wait: Wait) -> None:
    """What another process writes is in force within moments: calls to the version end with a 404."""
    http.get("/v1/models")
    version = made(gateway, "guest").id
    models.turn_on(gateway.db, "bank", version, "cli")
    assert ask(http, version).status_code == 200  # at once: who is refused looks again
    models.turn_off(gateway.db, "bank", version)
    wait(lambda: ask(http, version).status_code == 404)


def test_lineage_of_an_answer_and_impact_of_a_source(gateway: Any, http: httpx.Client, wait: Wait) -> None:
    """An answer names what made it down to the file; the file names what it touched up to the answer."""
    promote(gateway, "fees")
    wait(lambda: ask(http, "own").status_code == 200)
    trace = ask(http, "own").json()["id"]
    made = http.get(f"/api/lineage/{trace}").json()
    assert [each["id"] for each in made["deployments"]] == ["deployment-fees"]
    assert [each["name"] for each in made["models"]] == ["fees"]
    assert [each["question"] for each in made["records"]] == ["What is fees?"]
    assert [each["name"] for each in made["sources"]] == ["policy/fees.md"]
    for name in ("source-fees", "policy/fees.md", "fees.md"):
        touched = http.get(f"/api/impact/{name}").json()
        assert trace in [each["id"] for each in touched["answers"]]
        assert [each["id"] for each in touched["models"]] == ["model-fees"]
    for path in ("/api/lineage/trace-none", "/api/impact/none.md", "/api/lineage/nonsense", "/api/impact/deployment-x"):
        assert http.get(path).status_code == 404


def test_feedback_is_kept_about_answers_of_the_workspace_only(gateway: Any, http: httpx.Client) -> None:
    """A correction is kept; an unknown or a foreign trace is 404; nothing said is 400."""
    trace = ask(http).json()["id"]
    kept = http.post("/api/feedback", json={"trace": trace, "thumb": "down", "correction": "四克朗。"})
    assert kept.status_code == 201
    assert (kept.json()["thumb"], kept.json()["correction"]) == (-1, "四克朗。")
    assert http.post("/api/feedback", json={"trace_id": trace, "score": 0.5}).status_code == 201
    listed = http.get("/api/feedback").json()["data"]
    assert [each["score"] for each in listed] == [None, 0.5]
    for wrong in ({}, {"thumb": 2}, {"score": 1.5}, {"score": "NaN"}, {"stars": 3}, {"correction": "  "}):
        assert http.post("/api/feedback", json={"trace": trace, **wrong}).status_code == 400, wrong
    assert http.post("/api/feedback", json={"trace": "trace-none", "thumb": 1}).status_code == 404
    foreign = gateway.http(gateway.key("other"))
    assert foreign.post("/api/feedback", json={"trace": trace, "thumb": 1}).status_code == 404


def test_permissions_of_a_source_can_be_changed_in_part(gateway: Any, http: httpx.Client) -> None:
    """What is not named stays; what cannot be is refused."""
    promote(gateway, "fees")
    changed = http.patch("/api/sources/source-fees", json={"train": False})
    assert changed.json()["permissions"] == {
        "train": False,
        "retrieve": True,
        "leave": False,
        "mask": "none",
        "until": None,
        "basis": "own",
        "encrypt": False,
    }
    assert http.get("/api/sources").json()["data"] == [changed.json()]
    for wrong in ({"train": "no"}, {"until": "soon"}, {"trian": True}, {"train": None}):
        assert http.patch("/api/sources/source-fees", json=wrong).status_code == 400


def test_usage_adds_up_what_traces_say(http: httpx.Client) -> None:
    """Per model and day."""
    for question in ("one", "two words"):
        ask(http, question=question)
    (row,) = http.get("/api/usage").json()["data"]
    traces = http.get("/api/traces").json()["data"]
    assert row["calls"] == len(traces) == 2
    assert row["completion_tokens"] == sum(trace["completion_tokens"] for trace in traces)
    assert http.get(f"/api/traces/{traces[0]['id']}").json() == traces[0]


def test_workspaces_see_nothing_of_each_other(gateway: Any, http: httpx.Client, wait: Wait) -> None:
    """Models, traces, files, jobs, evals, sources and lineage of another workspace are not there."""
    promote(gateway, "fees")
    wait(lambda: ask(http, "own").status_code == 200)
    trace = ask(http, "own").json()["id"]
    file = http.post("/v1/files", data={"purpose": "evals"}, files={"file": ("a.jsonl", b"{}")}).json()["id"]
    made = http.post(
        "/v1/evals",
        json={
            "data_source_config": {"type": "custom", "item_schema": {}},
            "testing_criteria": [
                {"type": "string_check", "name": "a", "input": "a", "reference": "a", "operation": "eq"}
            ],
        },
    ).json()["id"]
    foreign = gateway.http(gateway.key("other"))
    lists = ("/v1/files", "/v1/fine_tuning/jobs", "/v1/evals", "/api/traces", "/api/sources", "/api/deployments")
    for path in (*lists, "/api/feedback", "/api/verdicts", "/api/usage"):
        assert foreign.get(path).json()["data"] == [], path
    assert [model["id"] for model in foreign.get("/v1/models").json()["data"]] == [BASE]
    ids = (f"/v1/files/{file}", f"/v1/files/{file}/content", f"/v1/evals/{made}", f"/v1/evals/{made}/runs")
    more = ("/v1/models/own", "/v1/models/model-fees", f"/api/traces/{trace}", f"/api/lineage/{trace}")
    for path in (*ids, *more, "/api/impact/fees.md", "/api/sources/source-fees"):
        assert http.get(path).status_code == 200, path
        assert foreign.get(path).status_code == 404, path
    assert ask(foreign, "model-fees").status_code == 404
    assert foreign.post("/api/deployments/rollback", json={"deployment": "deployment-fees"}).status_code == 404
    assert foreign.patch("/api/sources/source-fees", json={"train": False}).status_code == 404
    assert foreign.delete(f"/v1/files/{file}").status_code == 404
