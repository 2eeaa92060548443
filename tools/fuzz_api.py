"""Ask a whole gateway what its OpenAPI document permits and forbids, and hold every answer against the document.

    python tools/fuzz_api.py [--cases 10000] [--seed 0]

Prints the cases of every operation and what failed; the exit code is 1 if anything did. The gateway listens on
127.0.0.1, its engine is the fake one, and its home is a temporary folder that holds something of everything: otherwise
most calls would only see 404. It knows the gateway and schemathesis. It does not know what any answer has to be: the
document says that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import schemathesis
import uvloop
from schemathesis import engine
from schemathesis.config import GenerationConfig, SchemathesisConfig
from schemathesis.engine import Status, events
from schemathesis.hooks import GLOBAL_HOOK_DISPATCHER

from feilun.engines.fake import FakeEngine
from feilun.gateway import create_app, create_server
from feilun.gateway.serve import bind
from feilun.records import JSON, Deployment, Job, ModelVersion, Record, Source
from feilun.serving.indoors import IndoorFleet
from feilun.settings import load
from feilun.store import (
    Database,
    Journal,
    datasets,
    keys,
    lineage,
    models,
    open_database,
    sources,
    verdicts,
    workspaces,
)
from feilun.wire import Server

WORKSPACE = "bank"
BASE = "smollm2-135m-instruct"
CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance"]
# For documentation only (RFC 5737): a provider at this address is kept and never reached.
NOWHERE = "https://192.0.2.1/v1"
ASKED = [{"role": "user", "content": "What is the fee?"}]
JOB, EXPORT = "ftjob-cancelled", "export-cancelled"
REVIEWED = {"kind": "correct", "row": {"text": "The fee is for."}, "sources": ["source-one"]}


@dataclass
class Report:
    """What was asked and what was wrong."""

    cases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def take(self, event: events.EngineEvent) -> None:
        """Add what an event tells."""
        if isinstance(event, events.NonFatalError):
            self.failures.setdefault(f"{event.label}: {event.value!r}"[:300], str(event.value))
        elif isinstance(event, events.FatalError):
            raise event.exception
        elif isinstance(event, events.ScenarioFinished):
            self._scenario(event)

    def _scenario(self, event: events.ScenarioFinished) -> None:
        recorder = event.recorder
        for case_id, call in recorder.interactions.items():
            self.cases[recorder.label] += 1
            self.statuses[call.response.status_code if call.response is not None else 0] += 1
            if call.response is None:
                self.failures.setdefault(f"{recorder.label}: no answer", f"{call.request.method} {call.request.uri}")
            for check in recorder.checks.get(case_id, ()):
                if check.status is Status.FAILURE and check.failure_info is not None:
                    failure = check.failure_info.failure
                    status = call.response.status_code if call.response is not None else 0
                    sent = check.failure_info.code_sample
                    text = f"{failure.message}\n{sent[:1500]}\n{_shown(call)}"
                    self.failures.setdefault(f"{recorder.label}: {failure.title} ({status})", text)

    def table(self) -> str:
        """Return the figures and the failures as text."""
        lines = [f"{count:6} {label}" for label, count in sorted(self.cases.items())]
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        lines += [f"\n{title}\n    " + text.replace("\n", "\n    ") for title, text in sorted(self.failures.items())]
        total = f"{self.cases.total()} cases, {len(self.cases)} operations, {len(self.failures)} failures"
        return "\n".join([*lines, "", f"answers: {statuses}", f"{total}, {self.seconds:.0f} s"])


def _shown(call: Any) -> str:
    return call.response.content[:600].decode("utf-8", "backslashreplace") if call.response is not None else ""


class Things:
    """What calls can name: made when it is first named, and again once it was deleted."""

    def __init__(self, http: httpx.Client, own_key: str) -> None:
        """Make things by ``http``, whose key has the id ``own_key``."""
        self.http, self.own_key = http, own_key
        self._known: dict[str, dict[str, str]] = {}
        self._makers: dict[str, Callable[[], dict[str, str]]] = {
            "/v1/models/": lambda: {"model": BASE},
            "/v1/responses/": lambda: {"response_id": self._post("/v1/responses", {"model": BASE, "input": "Hello"})},
            "/v1/files/": lambda: {"file_id": self._file()},
            "/v1/batches/": self._batch,
            "/v1/fine_tuning/jobs/": lambda: {"job_id": JOB},
            "/api/exports/": lambda: {"export_id": EXPORT, "part": "README.md"},
            "/v1/evals/": self._run,
            "/api/traces/": lambda: {"trace_id": self._trace()},
            "/api/lineage/": lambda: {"node": "deployment-one"},
            "/api/impact/": lambda: {"node": "source-one"},
            "/api/sources/": lambda: {"source_id": "source-one"},
            "/api/keys/": lambda: {"key_id": self._post("/api/keys", {"name": "guest", "role": "viewer"})},
            "/api/members/": lambda: {"member_id": self._post("/api/members", {"name": f"Ann {time.time_ns()}"})},
            "/api/providers/": lambda: self._put("/api/providers/cloud", {"url": NOWHERE}),
            "/api/endpoints/": lambda: self._put("/api/endpoints/task", {"targets": [{"model": BASE}]}),
            "/api/limits/": self._limit,
            "/api/review/items/": self._review,
        }

    def place(self, path: str) -> str:
        """Return which kind of thing a path of the document names; empty if none."""
        return next((each for each in self._makers if path.startswith(each + "{")), "")

    def named(self, path: str) -> dict[str, str]:
        """Return the parameters of a path that name something that is there."""
        place = self.place(path)
        if place and place not in self._known:
            self._known[place] = self._makers[place]()
        return self._known.get(place, {})

    def forget(self, path: str) -> None:
        """Note that what a path names may be gone."""
        self._known.pop(self.place(path), None)

    def mend(self, body: JSON) -> JSON:
        """Return a body that names what is there."""
        real: dict[str, Callable[[], Any]] = {
            "model": lambda: BASE,
            "messages": lambda: ASKED,
            "documents": lambda: ["The fee is four."],
            "training_file": lambda: self.named("/v1/files/{")["file_id"],
            "input_file_id": lambda: self.named("/v1/batches/{")["file_id"],
            "previous_response_id": lambda: self.named("/v1/responses/{")["response_id"],
            "trace": lambda: self.named("/api/traces/{")["trace_id"],
            "deployment": lambda: "deployment-one",
            "items": lambda: [REVIEWED],
        }
        return {name: real[name]() if name in real and value else value for name, value in body.items()}

    def _post(self, path: str, body: JSON) -> str:
        return str(self.http.post(path, json=body).raise_for_status().json()["id"])

    def _put(self, path: str, body: JSON) -> dict[str, str]:
        return {"name": self.http.put(path, json=body).raise_for_status().json()["name"]}

    def _limit(self) -> dict[str, str]:
        given = {"scope": "key", "target": self.own_key, "concurrent": 1_000_000}
        return {"limit_id": self.http.put("/api/limits", json=given).raise_for_status().json()["id"]}

    def _review(self) -> dict[str, str]:
        added = self.http.post("/api/review/items", json={"items": [REVIEWED]}).raise_for_status().json()
        self.http.post("/api/review/next", json={}).raise_for_status()
        return {"review_id": added["data"][0]["id"]}

    def _trace(self) -> str:
        return self._post("/v1/chat/completions", {"model": BASE, "messages": ASKED})

    def _file(self, lines: str = '{"item": {"question": "a", "answer": "b"}}\n', purpose: str = "user_data") -> str:
        answer = self.http.post("/v1/files", files={"file": ("rows.jsonl", lines)}, data={"purpose": purpose})
        return str(answer.raise_for_status().json()["id"])

    def _batch(self) -> dict[str, str]:
        line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}
        lines = json.dumps(line | {"body": {"model": BASE, "messages": ASKED}}) + "\n"
        body = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        file = self._file(lines, "batch")
        return {"file_id": file, "batch_id": self._post("/v1/batches", body | {"input_file_id": file})}

    def _run(self) -> dict[str, str]:
        criterion = {"type": "string_check", "name": "same", "input": "{{ sample.output_text }}", "operation": "eq"}
        config = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
        body = {"data_source_config": config, "testing_criteria": [criterion | {"reference": "{{ item.answer }}"}]}
        exam = self._post("/v1/evals", body)
        rows = [{"item": {"answer": "a"}, "sample": {"output_text": "a"}}]
        source = {"type": "jsonl", "source": {"type": "file_content", "content": rows}}
        run = self._post(f"/v1/evals/{exam}/runs", {"data_source": source})
        items: list[JSON] = []
        while not items:
            time.sleep(0.05)
            items = self.http.get(f"/v1/evals/{exam}/runs/{run}/output_items").raise_for_status().json()["data"]
        return {"eval_id": exam, "run_id": run, "item_id": items[0]["id"]}


@contextlib.contextmanager
def around_calls(things: Things) -> Iterator[None]:
    """Have half of the calls name what is there, and keep the gateway usable."""

    def before_call(context: Any, case: Any, kwargs: JSON) -> None:
        # Never the key that calls are made with, nor a provider that can be reached.
        del context, kwargs
        path, given, body = case.operation.path, case.path_parameters, case.body
        if given and (_half((given, case.query, body)) or given.get("key_id") == things.own_key):
            given.update({name: value for name, value in things.named(path).items() if name in given})
        if isinstance(body, dict):
            if path.startswith("/api/providers") and (_half(body) or str(body.get("url")).startswith("http")):
                body["url"] = NOWHERE
            elif _half(body):
                body.update(things.mend(body))

    def after_call(context: Any, case: Any, response: Any) -> None:
        # What a limit leaves to the other calls is 429.
        del context
        path, method = case.operation.path, case.method.upper()
        if response.status_code == 200 and method == "DELETE":
            things.forget(path)
        if response.status_code == 200 and method == "PUT" and path == "/api/limits":
            things.http.delete(f"/api/limits/{response.json()['id']}")
            things.forget("/api/limits/{")

    for hook in (before_call, after_call):
        GLOBAL_HOOK_DISPATCHER.hook(hook.__name__)(hook)
    try:
        yield
    finally:
        for hook in (before_call, after_call):
            GLOBAL_HOOK_DISPATCHER.unregister(hook)


def _half(what: object) -> bool:
    """Say so of half of all things, and always of the same: a call that is made again stays what it was."""
    return zlib.crc32(repr(what).encode("utf-8", "backslashreplace")) % 2 == 0


def fill(db: Database) -> tuple[str, str]:
    """Put into a new home what no call can make; return an owner's key: its id and its secret."""
    workspaces.ensure(db, WORKSPACE)
    made, secret = keys.create(db, WORKSPACE, "fuzz", "owner")
    source = sources.add(db, Source("source-one", WORKSPACE, "policy/fees.md", "", 0), b"The fee is four.")
    said = (ASKED[0], {"role": "assistant", "content": "The fee is four."})
    records = [Record("record-one", "chat", (source.id,), said)]
    data, _ = datasets.write(db, WORKSPACE, "chat", records, "train")
    version = ModelVersion("model-one", WORKSPACE, "one", "adapter", "base", "nowhere", {})
    models.add(db, version)
    lineage.link(db, WORKSPACE, [(data.id, version.id, "trained on")])
    verdicts.promote(db, Deployment("deployment-one", WORKSPACE, "own", version.id))
    asked: JSON = {"model": BASE, "training_file": "file-gone", "hyperparameters": {}, "suffix": None, "metadata": None}
    training = {"dataset": data.id, "seed": 0}
    journal = Journal(db)
    journal.create(Job(JOB, WORKSPACE, "training", {"request": asked, "training": training}))
    journal.create(Job(EXPORT, WORKSPACE, "export", {"model": "model-one", "form": "adapter", "kind": ""}))
    for each in (JOB, EXPORT):
        journal.request_cancel(each)  # it never runs
    return made.id, secret


@contextlib.contextmanager
def filled_gateway(home: Path) -> Iterator[tuple[str, str, str]]:
    """Run a gateway over a new home; give its address, and the id and secret of an owner's key."""
    settings = load(environment={}, given={"home": str(home), "engine": "fake"})
    db, listener = open_database(settings.root), bind("127.0.0.1", 0)
    key = fill(db)
    running: list[tuple[asyncio.AbstractEventLoop, Server]] = []

    async def serving() -> None:
        server = create_server(create_app(settings, db, IndoorFleet(settings, FakeEngine())))
        running.append((asyncio.get_running_loop(), server))
        await server.serve(listener)

    thread = threading.Thread(target=lambda: uvloop.run(serving()), name="gateway")
    thread.start()
    try:
        yield (f"http://127.0.0.1:{listener.getsockname()[1]}", *key)
    finally:
        for loop, server in running:
            asyncio.run_coroutine_threadsafe(server.close(5), loop).result(60)
        thread.join(60)
        listener.close()
        db.close()


def _schema(url: str, secret: str, each: int, seed: int, thorough: bool) -> schemathesis.BaseSchema:
    config = SchemathesisConfig(seed=seed)
    project = config.projects.default
    # Random Authorization headers would only ever see 401.
    project.generation = GenerationConfig(
        max_examples=each, no_shrink=True, with_security_parameters=False, database="none"
    )
    project.update(headers={"Authorization": f"Bearer {secret}"}, continue_on_failure=True, request_timeout=60)
    project.phases.update(phases=["examples", "coverage", "fuzzing"] if thorough else ["fuzzing"])
    project.checks.update(included_check_names=CHECKS)
    return schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)


def fuzz(home: Path, cases: int, seed: int = 0, thorough: bool = True) -> Report:
    """Ask a gateway in a new home at least so many times; ``thorough`` adds the boundaries of every field."""
    report, began = Report(), time.monotonic()
    with filled_gateway(home) as (url, own_key, secret):
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {secret}"}, timeout=60) as http:
            with around_calls(Things(http, own_key)):
                while report.cases.total() < cases:
                    document = http.get("/openapi.json").json()
                    left = cases - report.cases.total()
                    each = max(2, left // sum(len(path) for path in document["paths"].values()))
                    for event in engine.from_schema(_schema(url, secret, each, seed, thorough)).execute():
                        report.take(event)
                    seed, thorough = seed + 1, False
    report.seconds = time.monotonic() - began
    return report


def main() -> int:
    """Run, print, and return the exit code."""
    parser = argparse.ArgumentParser(description="Fuzz the gateway by its own OpenAPI document.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = fuzz(Path(folder) / "home", given.cases, given.seed)
    print(report.table())
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
