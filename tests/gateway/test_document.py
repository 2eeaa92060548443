"""The gateway's own OpenAPI document: every answer is one that it names, whatever is sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from schemathesis.engine.events import NonFatalError
from tools.fuzz_api import BASE, Report, filled_gateway, fuzz

CASES = 400  # the whole run, of 10,000, is ``make fuzz``
METHODS = ("GET", "HEAD", "OPTIONS", "DELETE", "PUT", "PATCH", "TRACE", "QUERY")
HOT = ("chat/completions", "completions", "messages", "messages/count_tokens", "responses", "embeddings", "rerank")
NAMES = ("%00", "a%2Fb", "%2F", "%2e%2e", "%ff", "%ED%A0%80", "a%0D%0Ab", "%F0%9F%98%80", "%3F", "%23", "a" * 5000)
PLACES = (
    "/v1/models/",
    "/v1/files/",
    "/v1/responses/",
    "/api/impact/",
    "/api/lineage/",
    "/api/endpoints/",
    "/api/keys/",
)


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Give a client of a gateway that holds something of everything."""
    with filled_gateway(tmp_path_factory.mktemp("document") / "home") as (url, _, secret):
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {secret}"}, timeout=60) as client:
            yield client


@pytest.mark.slow
def test_every_answer_is_documented(tmp_path: Path) -> None:
    """No 5xx, no status, media type or shape that the document does not name, over every operation."""
    report = fuzz(tmp_path / "home", CASES, thorough=False)
    assert report.failures == {}, report.table()
    assert report.cases.total() >= CASES
    assert min(report.cases.values()) > 1
    assert {200, 201, 400, 404} <= set(report.statuses)
    assert {"POST /v1/chat/completions", "PUT /api/limits", "GET /api/usage", "POST /v1/files"} <= set(report.cases)


def test_what_goes_wrong_is_reported() -> None:
    """A call that got no answer at all is a failure, and the table shows it."""
    report = Report()
    report.take(NonFatalError(error=OSError("gone"), phase=None, label="GET /v1/models", related_to_operation=True))
    assert list(report.failures.values()) == ["gone"]
    assert "1 failures" in report.table()


@pytest.mark.parametrize("path", [f"/v1/{name}" for name in (*HOT, "moderations", "responses/input_tokens")])
def test_calls_to_models_take_post_only(http: httpx.Client, path: str) -> None:
    """Any other method is 405, in OpenAI's shape, and the answer says which there is."""
    for method in METHODS:
        answer = http.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method
        if method != "HEAD":
            assert answer.json()["error"]["code"] == "method_not_allowed"


def test_other_paths_say_what_they_take(http: httpx.Client) -> None:
    """Of one path and of several methods behind it; HEAD is GET without a body; nothing is redirected."""
    assert http.post("/v1/models").headers["allow"] == "GET, HEAD"
    assert http.patch("/v1/files").headers["allow"] == "GET, HEAD, POST"
    assert http.options("/api/endpoints/task").headers["allow"] == "DELETE, GET, HEAD, PUT"
    head, whole = http.head("/v1/models"), http.get("/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert http.get("/v1/files/").status_code == 404
    assert http.get("/nowhere").json()["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("place", PLACES)
def test_odd_names_are_not_found(http: httpx.Client, place: str) -> None:
    """Neither found nor a failure, and the answer is JSON whatever the name is."""
    for name in NAMES:
        answer = http.get(place + name)
        assert answer.status_code == 404, name
        assert answer.json()["error"]["message"]


def test_an_endpoint_with_a_slash_is_a_model(http: httpx.Client) -> None:
    """Its name may hold one, so the path of models takes one."""
    assert http.put("/api/endpoints/team/task", json={"targets": [{"model": BASE}]}).status_code == 200
    for path in ("/v1/models/team/task", "/v1/models/team%2Ftask"):
        assert http.get(path).json()["id"] == "team/task"


@pytest.mark.parametrize("value", ["NaN", "1e999", "-Infinity", '"\\ud800"', '"a', "[" * 100_000])
def test_json_is_read_strictly_everywhere(http: httpx.Client, value: str) -> None:
    """Where any value may stand, too: what cannot be kept as it was sent is refused."""
    config = f'{{"type": "custom", "item_schema": {{"x": {value}}}}}'
    criterion = '{"type": "string_check", "name": "a", "input": "", "reference": "", "operation": "eq"}'
    body = f'{{"data_source_config": {config}, "testing_criteria": [{criterion}]}}'
    answer = http.post("/v1/evals", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
