"""A workspace with one of everything, so that another one can try to see it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx

from feilun.gateway.endpoints import fine_tuning
from feilun.records import Deployment, Job, JobEvent, ModelVersion, Permissions, Record, Source, Verdict, new_id
from feilun.store import Journal, datasets, lineage, models, rollouts, sources, verdicts
from feilun.store.insights import Insight, kept
from feilun.store.rollouts import Rollout

BASE = "smollm2-135m-instruct"
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
CHECK = {"type": "string_check", "name": "vaultcheck", "input": "a", "reference": "vaultanswer", "operation": "eq"}
Values = dict[str, str]


def wait(so: Callable[[], object]) -> None:
    """Wait until something is so; the test's own limit ends a wait in vain."""
    while not so():
        threading.Event().wait(0.03)


def evaluation(**more: Any) -> dict[str, Any]:
    """Return the body of an eval."""
    config = {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True}
    return {"name": "an exam", "data_source_config": config, "testing_criteria": [CHECK], **more}


def run_of(model: str, source: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a run."""
    template = {"type": "template", "template": [{"role": "user", "content": "{{ item.q }}"}]}
    return {"data_source": {"type": "completions", "source": source, "input_messages": template, "model": model}}


def furnish(gateway: Any, http: httpx.Client, ws: str) -> Values:
    """Give a workspace one of everything; return each noun's id or name."""
    found = _wheel(gateway, http, ws)
    found |= _admin(http)
    found |= _calls(gateway, http)
    found |= _work(http)
    found |= _review(http, found["source"])
    job = Job(new_id(fine_tuning.PREFIX), ws, fine_tuning.KIND, _training(found["file"]))
    journal = Journal(gateway.db)
    journal.create(job)
    journal.add_event(JobEvent(new_id("event"), job.id, "the vaultjob began"))
    journal.finish(job.id, "cancelled", {}, {})
    export = Job(new_id("export"), ws, "export", {"model": found["model"], "form": "adapter", "kind": ""})
    journal.create(export)
    journal.finish(export.id, "succeeded", {"files": {"vault-weights.bin": 3}, "kind": ""}, {})
    written = gateway.settings.root / "exports" / export.id
    written.mkdir(parents=True)
    (written / "vault-weights.bin").write_bytes(b"abc")
    return found | {"job": job.id, "export": export.id, "export_file": "vault-weights.bin"}


def _training(file: str) -> dict[str, Any]:
    asked = {"model": BASE, "training_file": file, "hyperparameters": {}, "suffix": "vaultsuffix", "metadata": None}
    plan = {"dataset": "dataset-x", "base": "model-x", "name": "", "epochs": 1, "learning_rate": 0, "seed": 0}
    return {"request": asked, "training": plan | {"replay": True}}


def _wheel(gateway: Any, http: httpx.Client, ws: str) -> Values:
    db = gateway.db
    wait(lambda: http.get("/v1/models").status_code == 200)
    base = next(model for model in models.find(db, ws) if model.kind == "base")
    held = Source("source-vault", ws, "secrets/vault-prices.md", "", 0, permissions=Permissions(leave=False))
    source = sources.add(db, held, b"vaultsource bytes")
    said = ({"role": "user", "content": "vaultquestion?"}, {"role": "assistant", "content": "vaultreply indeed."})
    data, _ = datasets.write(db, ws, "vaultdata", [Record("record-vault", "chat", (source.id,), said)], "train")
    version = models.add(db, ModelVersion("model-vault", ws, "vaultmodel", "adapter", base.id, "x", {}))
    lineage.link(db, ws, [(data.id, version.id, "trained on")])
    reason = {"en": "vaultverdict", "zh": "vaultverdict"}
    verdict = verdicts.add(db, Verdict("verdict-vault", ws, version.id, base.id, True, reason))
    verdicts.promote(db, Deployment("deployment-vault", ws, "vault-own", version.id, verdict.id))
    wait(lambda: http.get("/v1/models/vault-own").status_code == 200)
    names = {"model": version.id, "source": source.id, "source_name": "vault-prices.md", "dataset": data.id}
    seen = Insight("insight-vault", ws, "vaultinsight", "vaultasked", (), "knowledge", (), 1, 1.0, {}, {}, {})
    kept.keep(db, ws, [seen])
    names |= {"insight": seen.id}
    tried = rollouts.start(db, Rollout("rollout-vault", ws, "vault-own", base.id, version.id, "deployment-vault"))
    rollouts.by_hand(db, ws, tried.id, "back", "vaultreason")
    names |= {"rollout": tried.id}
    return names | {"verdict": verdict.id, "deployment": "deployment-vault", "served": "vault-own"}


def _admin(http: httpx.Client) -> Values:
    member = http.post("/api/members", json={"name": "Vaultmember", "role": "builder"}).json()["id"]
    key = http.post("/api/keys", json={"name": "vaultkey", "member": member}).json()["id"]
    http.put("/api/providers/vault-cloud", json={"url": "https://vault.example.com/v1", "key": "sk-vaultsecret-Zyxw"})
    target = {"model": "vaultremote", "provider": "vault-cloud", "weight": 0}
    http.put("/api/endpoints/vault-task", json={"targets": [{"model": "vault-own"}, target]})
    limit = http.put("/api/limits", json={"scope": "member", "target": member, "tokens_per_day": 987654321}).json()
    names = {"member": member, "member_name": "Vaultmember", "key": key, "limit": limit["id"]}
    return names | {"provider": "vault-cloud", "endpoint": "vault-task"}


def _calls(gateway: Any, http: httpx.Client) -> Values:
    chat = {"model": "vault-task", "messages": [{"role": "user", "content": "vaultprompt"}]}
    trace = http.post("/v1/chat/completions", json=chat).json()["id"]
    response = http.post("/v1/responses", json={"model": "vault-own", "input": "vaultinput"}).json()["id"]
    gateway.flush()
    judged = http.post("/api/feedback", json={"trace": trace, "correction": "vaultcorrection"}).json()["id"]
    return {"trace": trace, "response": response, "feedback": judged}


def _review(http: httpx.Client, source: str) -> Values:
    row = {"kind": "correct", "queue": "vaultqueue", "row": {"text": "vaultreviewed"}, "sources": [source]}
    rows = [row, {**row, "needed": 2, "row": {"text": "vaultdisputed"}}]
    added = http.post("/api/review/items", json={"items": rows}).json()["data"]
    decision = {"action": "correct", "value": "vaultcorrected"}
    for _ in rows:
        given = http.post("/api/review/next", json={}).json()["item"]
        http.post(f"/api/review/items/{given['id']}/decision", json=decision)
    return {"review": added[0]["id"], "queue": "vaultqueue"}


def _work(http: httpx.Client) -> Values:
    file = _upload(http, "fine-tune", b'{"messages": []}', check=False) or _upload(
        http, "evals", b'{"item": {"q": "x"}}'
    )
    rows = _upload(http, "evals", json.dumps({"item": {"q": "vaultrow"}}).encode())
    made = http.post("/v1/evals", json=evaluation(name="vaulteval")).json()["id"]
    run = http.post(f"/v1/evals/{made}/runs", json=run_of("vault-own", {"type": "file_id", "id": rows})).json()["id"]
    wait(lambda: http.get(f"/v1/evals/{made}/runs/{run}").json()["status"] == "completed")
    item = http.get(f"/v1/evals/{made}/runs/{run}/output_items").json()["data"][0]["id"]
    body = {"model": "vault-own", "messages": [{"role": "user", "content": "vaultbatch"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    asked = _upload(http, "batch", json.dumps(line).encode())
    wanted = {"input_file_id": asked, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = http.post("/v1/batches", json=wanted).json()["id"]
    wait(lambda: http.get(f"/v1/batches/{batch}").json()["status"] == "completed")
    ended = http.get(f"/v1/batches/{batch}").json()
    names = {"file": file, "rows": rows, "asked": asked, "eval": made, "run": run, "item": item, "batch": batch}
    return names | {"output": ended["output_file_id"]}


def _upload(http: httpx.Client, purpose: str, data: bytes, *, check: bool = True) -> str:
    answer = http.post("/v1/files", data={"purpose": purpose}, files={"file": (f"vault-{purpose}.jsonl", data)})
    assert answer.status_code == 200 or not check, answer.text
    return str(answer.json().get("id", ""))
