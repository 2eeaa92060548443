"""Keys, roles, sizes and errors: whatever is sent, the answer is in the OpenAI shape, and never an error of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feilun.gateway.hotpath.calls import read
from feilun.records import Key
from feilun.store import keys, traces

Wait = Callable[[Callable[[], object]], None]
BASE = "smollm2-135m-instruct"
CHAT = {"model": BASE, "messages": [{"role": "user", "content": "hello"}]}
POSTS = (
    "/v1/chat/completions",
    "/v1/fine_tuning/jobs",
    "/v1/evals",
    "/v1/evals/eval-x",
    "/v1/evals/eval-x/runs",
    "/v1/files",
    "/api/feedback",
    "/api/deployments/rollback",
)


def error_of(answer: httpx.Response, *statuses: int) -> dict[str, Any]:
    """Return the error of an answer that must be one in the OpenAI shape."""
    assert answer.status_code in statuses, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["code"]
    assert "Traceback" not in answer.text
    return error


def test_health_needs_no_key_and_says_how_it_is(gateway: Any) -> None:
    """Probes see that the gateway listens, what it serves and whether the engine is ready."""
    found = httpx.get(f"{gateway.url}/health").json()
    assert found["status"] in {"starting", "ok"}
    assert (found["engine"], found["model"], found["error"]) == ("fake", BASE, None)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic abc", "Bearer \xff", "fl-x"])
def test_without_a_known_key_nothing_is_said(gateway: Any, header: str | None) -> None:
    """401 for every path under /v1 and /api, known or not, before any body is read."""
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    for path in ("/v1/models", "/v1/files", "/api/traces", "/v1/nothing"):
        answer = httpx.request("POST", gateway.url + path, headers=headers, content=b"{", timeout=30)
        assert error_of(answer, 401)["code"] == "invalid_api_key"


def test_roles_may_what_they_may(gateway: Any) -> None:
    """A viewer chats, an annotator also judges, a builder also builds, an owner also rolls back."""
    by_role = {role: gateway.http(gateway.key(role=role)) for role in ("viewer", "annotator", "builder", "owner")}
    trace = by_role["viewer"].post("/v1/chat/completions", json=CHAT).json()["id"]
    doors = [
        ("annotator", "POST", "/api/feedback", {"trace": trace, "thumb": 1}, 201),
        ("builder", "GET", "/v1/files", None, 200),
        ("builder", "GET", "/api/traces", None, 200),
        ("owner", "POST", "/api/deployments/rollback", {"deployment": "deployment-x"}, 404),
    ]
    order = list(by_role)
    for least, method, path, body, good in doors:
        for role, http in by_role.items():
            answer = http.request(method, path, json=body)
            if order.index(role) < order.index(least):
                assert error_of(answer, 403)["code"] == "forbidden"
            else:
                assert answer.status_code == good


def test_a_revoked_key_stops_working(gateway: Any, wait: Wait) -> None:
    """The gateway notices within its poll, without a restart."""
    http = gateway.http(gateway.key())
    (key,) = keys.find(gateway.db, "bank")
    keys.revoke(gateway.db, "bank", key.id)
    wait(lambda: http.get("/v1/models").status_code == 401)


def test_paths_methods_and_bodies_that_are_wrong(gateway: Any) -> None:
    """Unknown path, wrong method, malformed, empty, huge and strange bodies are the client's errors."""
    http = gateway.http(gateway.key())
    assert error_of(http.get("/v1/nothing"), 404)["code"] == "unknown_url"
    assert error_of(http.delete("/v1/models"), 405)["code"] == "method_not_allowed"
    bodies = [b"", b"{", b"[]", b"null", b'"x"', b"\x00", b"\xff", b"[" * 100_000, b'{"model": ' + b"9" * 5000 + b"}"]
    for path in POSTS:
        for body in bodies:
            error_of(http.post(path, content=body, headers={"content-type": "application/json"}), 400, 404)
    for path in ("/v1/models/%00", "/v1/files/%00", "/api/impact/%00", "/api/lineage/%ff", "/v1/evals/%00/runs/%0a"):
        error_of(http.get(path), 400, 404)
    for limit in ("-1", "0", "x", "1e9", str(2**70)):
        error_of(http.get("/v1/fine_tuning/jobs", params={"limit": limit}), 400)
    for path in ("/v1/fine_tuning/jobs", "/v1/evals", "/v1/files"):
        error_of(http.get(path, params={"after": "\x00none"}), 404)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "TRACE", "OPTIONS", "PROPFIND", "M-SEARCH"])
def test_methods_that_nobody_serves(gateway: Any, method: str) -> None:
    """405 with those that the path takes, 404 where there is no path; a word that is no method of HTTP is 400."""
    http = gateway.http(gateway.key())
    for path, allowed in (("/v1/chat/completions", "POST"), ("/v1/files/x/content", "GET, HEAD"), ("/nothing", "")):
        answer = http.request(method, path, json={} if method != "GET" else None)
        if method != "GET" or "GET" not in allowed:
            error_of(answer, 405 if allowed else 404)
            assert answer.headers.get("allow", "") == allowed
    error_of(http.request("BREW", "/v1/chat/completions"), 400)


def test_an_integer_may_be_written_with_a_point(gateway: Any) -> None:
    """5.0 is an integer, as JSON Schema has it, and bounds what is reserved and said; 5.5 is none, "5" is none."""
    http = gateway.http(gateway.key())
    for path, more in (
        ("/v1/chat/completions", {"max_tokens": 2.0, "n": 1.0, "seed": -7.00}),
        ("/v1/completions", {"prompt": "one two three four", "max_tokens": 2.0}),
        ("/v1/responses", {"input": "one two three four", "max_output_tokens": 16.0}),
    ):
        body = {**CHAT, **more}
        assert http.post(path, json=body).status_code == 200, path
        name = next(name for name in more if name.startswith("max"))
        for wrong in (5.5, "5", -5.0, True):
            assert error_of(http.post(path, json={**body, name: wrong}), 400)["param"] == name
    call = read(Key("k", "bank", "", "owner", "", ""), "chat", "", {**CHAT, "n": 3.0, "max_tokens": 4.0}, {})
    assert (call.choices, call.answer) == (3, 4)


def test_a_body_that_is_too_large_is_refused(gateway: Any) -> None:
    """By its declared length at once, and by its pieces where none was declared."""
    http = gateway.http(gateway.key())
    size = 17 << 20
    answer = http.post("/v1/chat/completions", content=b" " * size)
    assert error_of(answer, 413)["code"] == "request_too_large"
    answer = http.post("/v1/chat/completions", content=(b" " * (1 << 20) for _ in range(size >> 20)))
    assert error_of(answer, 413)["code"] == "request_too_large"


def test_characters_that_databases_refuse_do_no_harm(gateway: Any) -> None:
    """NUL is dropped from the trace; a lone surrogate is the client's error."""
    http = gateway.http(gateway.key())
    answer = http.post("/v1/chat/completions", json={**CHAT, "messages": [{"role": "user", "content": "a\x00b"}]})
    assert answer.status_code == 200
    gateway.flush()
    assert traces.get(gateway.db, "bank", answer.json()["id"]).messages[0]["content"] == "ab"
    body = b'{"model": "x", "messages": [{"role": "user", "content": "\\ud800"}]}'
    error_of(http.post("/v1/chat/completions", content=body), 400, 404)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=True)
    | st.text(max_size=8)
    | st.sampled_from([BASE, "own", "user", "custom", "string_check", "file_content", "completions", "\x00", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    *("model", "messages", "max_tokens", "temperature", "top_p", "n", "stop", "seed", "logprobs", "stream", "store"),
    *("metadata", "tools", "response_format", "stream_options", "training_file", "suffix", "hyperparameters", "method"),
    *("name", "data_source_config", "testing_criteria", "data_source", "trace", "thumb", "score", "correction"),
)
GOOD: dict[str, Any] = {
    **CHAT,
    "training_file": "file-x",
    "trace": "trace-x",
    "data_source_config": {"type": "custom", "item_schema": {}},
    "testing_criteria": [{"type": "string_check", "name": "a", "input": "", "reference": "", "operation": "eq"}],
}


def test_no_body_is_our_error(gateway: Any) -> None:
    """Bodies that are right but for some fields: never 500, and every error has the OpenAI shape."""
    http = gateway.http(gateway.key())

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(path=st.sampled_from(POSTS), wrong=st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1, max_size=3))
    def send(path: str, wrong: dict[str, Any]) -> None:
        body = json.dumps({**GOOD, **wrong}).encode()
        answer = http.post(path, content=body, headers={"content-type": "application/json"})
        if answer.status_code not in {200, 201}:
            error_of(answer, 400, 404)

    send()


def test_the_document_is_true(gateway: Any) -> None:
    """Every path is there with its answers; 422 never happens; nothing of it needs another server."""
    found = httpx.get(f"{gateway.url}/openapi.json").json()
    wanted = {"/health", "/v1/models", "/v1/files/{file_id}/content", "/v1/evals/{eval_id}/runs/{run_id}/output_items"}
    assert wanted <= set(found["paths"])
    for path, operations in found["paths"].items():
        for operation in operations.values():
            assert "422" not in operation["responses"]
            schema = operation["responses"]["400"]["content"]["application/json"]["schema"]
            assert any(each["$ref"].endswith("ErrorBody") for each in schema.get("anyOf", [schema]))
            assert path in {"/health", "/ready", "/metrics"} or operation["security"] == [{"HTTPBearer": []}]
    assert httpx.get(f"{gateway.url}/docs").status_code == 404
