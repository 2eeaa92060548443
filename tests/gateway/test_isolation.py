"""No workspace sees another's: every operation of the OpenAPI document, tried with the ids of somebody else.

The list of operations is the document's own: one that is new fails here until somebody says what it takes.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.gateway.tenant import BASE, CHECK, Values, evaluation, furnish, run_of

HI = [{"role": "user", "content": "hello"}]
NODES = ("source", "source_name", "dataset", "model", "verdict", "deployment", "trace", "feedback", "job")
MODELS = ("model", "served", "endpoint", "deployment")
FILES = ("file", "rows", "asked", "output")
# What stands in paths and queries for whom: the nouns whose ids are tried. ``ours`` is an id of the one who tries.
GRADER = {"type": "string_check", "name": "a", "input": "a", "reference": "a", "operation": "eq"}
PATH = {
    "model": MODELS,
    "response_id": ("response", "trace"),
    "batch_id": ("batch", "job"),
    "file_id": (*FILES, "source"),
    "job_id": ("job", "batch", "run"),
    "eval_id": ("eval", "our_eval"),
    "run_id": ("run",),
    "item_id": ("item",),
    "trace_id": ("trace", "response"),
    "node": NODES,
    "source_id": ("source", *FILES),
    "key_id": ("key",),
    "member_id": ("member",),
    "name": ("provider", "endpoint"),
    "limit_id": ("limit",),
    "review_id": ("review",),
    "insight_id": ("insight",),
    "rollout_id": ("rollout",),
    "export_id": ("export",),
    "part": ("export_file",),
}
QUERY = {"after": ("file", "job", "batch", "eval", "run", "item", "feedback", "source", "key")}
QUERY |= {"about": ("source", "key"), "actor": ("key", "member")}
QUERY |= {"member": ("member", "member_name"), "endpoint": ("endpoint", "served"), "queue": ("queue",)}
PLAIN = {"limit", "order", "order_by", "purpose", "since", "until", "status", "stream", "format", "by"}
QUERY |= {"exam": ("eval", "our_eval")}
PLAIN |= {"basis", "action", "bar", "every"}
OPEN = {("GET", "/health"), ("GET", "/ready")}


def bodies(method: str, path: str, have: Values) -> list[dict[str, Any]]:
    """Return the bodies to try: each names something of whom ``have`` is of. KeyError for a path that is not known."""
    models = [have[noun] for noun in MODELS]
    files = [have[noun] for noun in FILES]
    remote = {"model": "m", "provider": have["provider"]}
    task = [{"targets": [remote]}, {"targets": [{"model": BASE}], "fallback": [have["endpoint"]]}]
    content = {"type": "file_content", "content": [{"item": {"q": "x"}}]}
    known: dict[tuple[str, str], list[dict[str, Any]]] = {
        ("POST", "/v1/chat/completions"): [{"model": name, "messages": HI} for name in models],
        ("POST", "/v1/completions"): [{"model": name, "prompt": "hello"} for name in models],
        ("POST", "/v1/messages"): [{"model": name, "messages": HI, "max_tokens": 9} for name in models],
        ("POST", "/v1/messages/count_tokens"): [{"model": name, "messages": HI} for name in models],
        ("POST", "/v1/embeddings"): [{"model": name, "input": "hello"} for name in models],
        ("POST", "/v1/rerank"): [{"model": name, "query": "a", "documents": ["b"]} for name in models],
        ("POST", "/v1/moderations"): [{"model": name, "input": "hello"} for name in models],
        ("POST", "/v1/batches"): [
            {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"} for file in files
        ],
        ("POST", "/v1/fine_tuning/jobs"): [
            *({"model": BASE, "training_file": file} for file in files),
            {"model": have["model"], "training_file": have["file"]},
        ],
        ("POST", "/v1/fine_tuning/alpha/graders/validate"): [{"grader": GRADER}],
        ("POST", "/v1/fine_tuning/alpha/graders/run"): [{"grader": GRADER, "model_sample": "a"}],
        ("POST", "/api/models/{model}/export"): [{"as": "adapter"}],
        ("POST", "/v1/evals"): [evaluation()],
        ("POST", "/v1/evals/{eval_id}"): [{"name": "taken over"}],
        ("POST", "/v1/evals/{eval_id}/runs"): [
            *(run_of(BASE, {"type": "file_id", "id": file}) for file in files),
            *(run_of(name, content) for name in models),
        ],
        ("POST", "/api/feedback"): [{"trace": have[noun], "thumb": 1} for noun in ("trace", "response")],
        ("PATCH", "/api/sources/{source_id}"): [{"leave": True}],
        ("PATCH", "/api/permissions"): [{"basis": "own"}],
        ("POST", "/api/audit/verify"): [{}],
        ("POST", "/api/deployments/rollback"): [{"deployment": have["deployment"]}],
        ("POST", "/api/keys"): [{"member": have["member"]}, {"member": have["member_name"]}],
        ("POST", "/api/members"): [{"name": have["member_name"]}],
        ("PUT", "/api/providers/{name}"): [{"url": "https://ours.example.org"}],
        ("PUT", "/api/endpoints/{name}"): [*task, {"targets": [{"model": name} for name in models]}],
        ("PUT", "/api/limits"): [
            *({"scope": "member", "target": have[noun], "concurrent": 7} for noun in ("member", "member_name")),
            {"scope": "key", "target": have["key"], "concurrent": 7},
            {"scope": "endpoint", "target": have["endpoint"], "concurrent": 7},
            {"scope": "workspace", "target": "alfabank", "concurrent": 7},
        ],
        ("POST", "/api/review/next"): [{}, {"queue": have["queue"]}],
        ("POST", "/api/review/items"): [{"items": [_row(have[noun])]} for noun in ("source", *FILES)],
        ("POST", "/api/review/items/{review_id}/decision"): [{"action": "correct", "value": "x"}],
        ("POST", "/api/review/items/{review_id}/skip"): [{}],
        ("POST", "/api/review/items/{review_id}/resolution"): [{"action": "correct", "value": "x"}],
        ("PUT", "/api/review/items/{review_id}/suggestion"): [
            {"decision": {"action": "correct", "value": "x"}, "by": have["model"]}
        ],
        ("POST", "/api/review/feedback"): [{"feedback": [have["feedback"]]}, {"feedback": [have["trace"]]}],
        ("POST", "/api/insights"): [{}],
        ("POST", "/api/insights/{insight_id}/accept"): [{"note": "ours"}],
        ("POST", "/api/insights/{insight_id}/dismiss"): [{"reason": "ours"}],
        ("POST", "/api/rollouts"): [{"model": have["model"]}, {"model": have["model"], "endpoint": have["endpoint"]}],
        ("POST", "/api/rollouts/{rollout_id}/promote"): [{"to": "all"}],
        ("POST", "/api/rollouts/{rollout_id}/rollback"): [{"reason": "ours"}],
        ("PATCH", "/api/wheel"): [{"corrections": 7}],
        ("POST", "/api/review/dataset"): [{"dataset": have["dataset"]}],
        ("POST", "/api/review/export"): [{"dataset": "taken", "queue": have["queue"]}, {"dataset": "vaultdata"}],
    }
    for place in ("/v1/responses", "/v1/responses/input_tokens"):
        asked = [{"model": name, "input": "hello"} for name in models]
        asked += [{"model": BASE, "input": "go on", "previous_response_id": have[n]} for n in ("response", "trace")]
        known["POST", place] = asked
    return known[method, path]


def _row(source: str) -> dict[str, Any]:
    return {"kind": "accept", "row": {"text": "hello"}, "sources": [source]}


@dataclass(frozen=True)
class Try:
    """One request; the same with what is not there is made from other values."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None

    def send(self, http: httpx.Client) -> httpx.Response:
        """Send it."""
        if self.body == "upload":
            return http.post(self.path, data={"purpose": "evals"}, files={"file": ("a.jsonl", b'{"item": {}}')})
        return http.request(self.method, self.path, params=dict(self.query), json=self.body)


def tries(document: dict[str, Any], method: str, path: str, have: Values) -> Iterator[Try]:
    """Yield every request to an operation that names what ``have`` holds."""
    operation = document["paths"][path][method.lower()]
    places = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
    queries = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
    assert set(queries) <= {*QUERY, *PLAIN}, f"{method} {path}: what does {queries} take?"
    kinds = operation.get("requestBody", {}).get("content", {})
    given: list[Any] = [None]
    if "application/json" in kinds:
        given = bodies(method, path, have)
    elif kinds:
        assert (method, path) == ("POST", "/v1/files"), f"{method} {path}: what does its form take?"
        given = ["upload"]
    for values in itertools.product(*(PATH[place] for place in places)):
        if values == ("our_eval",):
            continue  # one's own matters only with another's run in it
        full = path
        for place, noun in zip(places, values, strict=True):
            full = full.replace(f"{{{place}}}", have[noun])
        for body in given:
            yield Try(method, full, (), body)
        for name in set(queries) & set(QUERY):
            yield from (Try(method, full, ((name, have[noun]),), given[0]) for noun in QUERY[name])


def order(operation: tuple[str, str]) -> int:
    """Return when to try: what reads first, then what asks; then what sets up names, and takes them away."""
    return ("GET", "POST", "PUT", "PATCH", "DELETE").index(operation[0])


def twin(value: str) -> str:
    """Return an id or a name of the same form that nothing has."""
    return value[:-1] + ("y" if value[-1] == "z" else "z")


def plain(answer: httpx.Response, have: Values) -> str:
    """Return an answer without the ids that were sent."""
    text = answer.text
    for noun, value in sorted(have.items(), key=lambda each: -len(each[1])):
        text = text.replace(value, f"<{noun}>")
    return text


@dataclass(frozen=True)
class Street:
    """Two workspaces, the document, and what the first one has."""

    first: httpx.Client
    second: httpx.Client
    document: dict[str, Any]
    have: Values
    none: Values

    def operations(self) -> list[tuple[str, str]]:
        """Return every operation of the document."""
        paths = self.document["paths"].items()
        found = [(method.upper(), path) for path, each in paths for method in each if method != "parameters"]
        return sorted(found, key=order)

    def seen(self) -> dict[str, str]:
        """Return all that the first workspace can read of its own."""
        found = {}
        for method, path in self.operations():
            if method == "GET" and (method, path) not in OPEN:
                for each in tries(self.document, method, path, self.have):
                    # The log of what is looked at grows by being looked at; what is in it is tried in test_audit.
                    if not each.query and "eval-ours" not in each.path and path != "/api/audit":
                        found[each.path] = each.send(self.first).text
        return found


@pytest.fixture
def street(gateway: Any) -> Street:
    """Give a workspace with one of everything, and another one that has an exam only."""
    first, second = gateway.http(gateway.key("alfabank")), gateway.http(gateway.key("rival"))
    have = furnish(gateway, first, "alfabank")
    ours = second.post("/v1/evals", json=evaluation(testing_criteria=[{**CHECK, "name": "b", "reference": "b"}])).json()
    none = {noun: twin(value) for noun, value in have.items()}
    document = httpx.get(f"{gateway.url}/openapi.json", timeout=60).json()
    return Street(first, second, document, have | {"our_eval": ours["id"]}, none | {"our_eval": ours["id"]})


def test_every_operation_with_the_ids_of_somebody_else(street: Street) -> None:
    """What is another's answers exactly as what is not there, and stays as it is; a name that is another's is free."""
    operations = street.operations()
    assert len(operations) > 60
    reads = [(method, path) for method, path in operations if method == "GET" and (method, path) not in OPEN]
    for method, path in reads:  # the first workspace really has one of everything
        answers = [each.send(street.first) for each in tries(street.document, method, path, street.have)]
        assert 200 in {answer.status_code for answer in answers}, f"{method} {path}: nothing to see"
    before = street.seen()
    theirs = {value for noun, value in street.have.items() if noun != "our_eval"}
    count = 0
    for method, path in operations:
        mine = list(tries(street.document, method, path, street.have))
        absent = list(tries(street.document, method, path, street.none))
        for one, other in zip(mine, absent, strict=True):
            answer, nothing = one.send(street.second), other.send(street.second)
            count += 1
            assert answer.status_code == nothing.status_code < 500, f"{one}: {answer.text} / {nothing.text}"
            said = answer.text
            if answer.status_code >= 300:
                assert plain(answer, street.have) == plain(nothing, street.none), one
            else:
                sent = json.dumps([one.path, one.query, one.body])
                assert not [value for value in theirs if value in said and value not in sent], f"{one}: {said}"
            for word in ("vaultsource", "vaultquestion", "vaultreply", "vaultprompt", "vaultinput", "vaultcorrection"):
                assert word not in said, f"{one}: {said}"
            for word in ("vaultreviewed", "vaultdisputed", "vaultcorrected"):
                assert word not in said, f"{one}: {said}"
            for word in ("alfabank", "vault.example.com", "Zyxw", "987654321", "vaultverdict", "vaultrow", "vaultjob"):
                assert word not in said or word in json.dumps(one.body), f"{one}: {said}"
    assert count > 150
    assert street.seen() == before


def test_lists_and_figures_are_of_ones_own(street: Street) -> None:
    """Whoever has made nothing sees empty lists, no usage, and figures of no calls."""
    for method, path in street.operations():
        if method != "GET" or "{" in path or (method, path) in OPEN:
            continue
        answer = street.second.get(path)
        assert answer.status_code == 200, path
        if path == "/metrics":
            assert "alfabank" in street.first.get(path).text
            assert "workspace=" not in answer.text
            continue
        if path == "/api/permissions":
            assert answer.json()["train"] is True
            continue
        if path == "/api/wheel":
            assert answer.json()["on"] is False
            continue
        if path == "/api/leaderboard":
            assert answer.json()["cells"] == []
            continue
        told = answer.json()["data"]
        if path == "/v1/models":
            assert [each["id"] for each in told] == [BASE]
        elif path == "/v1/evals":
            assert [each["id"] for each in told] == [street.have["our_eval"]]
        elif path == "/api/audit":
            assert not [each for each in told if each["about"] in set(street.have.values())]
            assert {each["action"] for each in told} <= {"key.made"}
        elif path == "/api/keys":
            assert [each["name"] for each in told] == ["owner of rival"]
        else:
            assert told == [], path


def test_without_a_key_no_operation_says_anything(gateway: Any) -> None:
    """401 for each, whatever is sent along."""
    document = httpx.get(f"{gateway.url}/openapi.json", timeout=60).json()
    nouns = {noun for values in (*PATH.values(), *QUERY.values(), MODELS, FILES, NODES) for noun in values}
    with httpx.Client(base_url=gateway.url) as nobody:
        for method, path in [(method.upper(), path) for path, each in document["paths"].items() for method in each]:
            if (method, path) not in OPEN:
                answer = next(tries(document, method, path, {noun: f"{noun}-x" for noun in nouns})).send(nobody)
                assert answer.status_code == 401, path
                assert "You did not give an API key" in answer.json()["error"]["message"], path
