"""What the gateway answers is what OpenAI's published description says: whole answers, and every event of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from tools.fuzz_api import BASE, Things, filled_gateway

DESCRIPTION = Path(__file__).parents[3] / "shared" / "data" / "openai_openapi" / "openapi.json"
pytestmark = pytest.mark.skipif(not DESCRIPTION.exists(), reason="OpenAI's description is not there to compare with")

ASKED = [{"role": "user", "content": "What is the fee?"}]
WEATHER = {
    "name": "weather",
    "description": "the weather",
    "parameters": {"type": "object", "properties": {"city": {"enum": ["Basel"]}}, "required": ["city"]},
}
CHAT = {"model": BASE, "messages": ASKED}
TOOLS = {"tools": [{"type": "function", "function": WEATHER}], "tool_choice": "required"}
FORM = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
SAID = {"model": BASE, "input": "What is the fee?"}
RESPONSE_TOOLS = {"tools": [{"type": "function", **WEATHER, "strict": False}], "tool_choice": "required"}
CRITERION = {"type": "string_check", "name": "a", "input": "{{ item.a }}", "reference": "b", "operation": "eq"}
GRADER = {**CRITERION, "input": "{{ sample.output_text }}", "reference": "{{ item.a }}"}
BOTH = {"type": "multi", "name": "two", "graders": {"one": GRADER}, "calculate_output": "one"}
TEXTS = {"name": "b", "input": "{{ sample.output_text }}"}
ASKING = [{"role": "user", "content": "Is it good? {{ sample.output_text }}"}]
GRADERS = [
    CRITERION,
    {"type": "text_similarity", **TEXTS, "reference": "a", "evaluation_metric": "fuzzy_match", "pass_threshold": 0.5},
    {"type": "python", "name": "c", "source": "def grade(sample, item):\n    return 1.0"},
    {"type": "score_model", "name": "d", "model": BASE, "input": ASKING},
    {
        "type": "label_model",
        "name": "e",
        "model": BASE,
        "input": ASKING,
        "labels": ["yes", "no"],
        "passing_labels": ["yes"],
    },
]
CONFIG = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
ROWS = {"type": "file_content", "content": [{"item": {"a": "b"}, "sample": {"output_text": "a"}}]}
TEMPLATE = {"type": "template", "template": [{"role": "user", "content": "{{ item.a }}"}]}
# Not called: what begins a training, which is no matter of a moment, and what ends a batch, which may have ended.
# Their answers are the job and the batch that are looked at here.
CALLS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("get", "/models", None),
    ("get", "/models/{model}", None),
    *(
        ("post", "/chat/completions", CHAT | more)
        for more in (
            {},
            {"n": 2, "logprobs": True, "top_logprobs": 2, "seed": 1},
            TOOLS,
            {"response_format": FORM},
            {"stream": True, "logprobs": True, "top_logprobs": 2, "stream_options": {"include_usage": True}},
            {"stream": True, "n": 2, **TOOLS},
        )
    ),
    *(("post", "/completions", {"model": BASE, "prompt": "a b", "logprobs": 2} | more) for more in ({}, {"n": 2})),
    *(
        ("post", "/responses", SAID | more)
        for more in (
            {},
            {"instructions": "Be brief.", "metadata": {"a": "b"}, "max_output_tokens": 2, "temperature": 0.5},
            RESPONSE_TOOLS,
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}}},
            {"stream": True},
            {"stream": True, "max_output_tokens": 2},
            {"stream": True, **RESPONSE_TOOLS},
        )
    ),
    ("post", "/responses/input_tokens", SAID),
    ("get", "/responses/{response_id}", None),
    ("get", "/responses/{response_id}/input_items", None),
    ("delete", "/responses/{response_id}", None),
    *(("post", "/embeddings", {"model": "multilingual-e5-small", "input": text}) for text in ("a", ["a", "b"])),
    *(("post", "/moderations", {"input": text}) for text in ("Hello", ["Hello", "I will kill you."])),
    ("get", "/files/{file_id}", None),
    ("get", "/files", None),
    ("delete", "/files/{file_id}", None),
    ("post", "/batches", {"input_file_id": "…", "endpoint": "/v1/chat/completions", "completion_window": "24h"}),
    ("get", "/batches/{batch_id}", None),
    ("get", "/batches", None),
    ("get", "/fine_tuning/jobs", None),
    ("get", "/fine_tuning/jobs/{fine_tuning_job_id}", None),
    ("post", "/fine_tuning/jobs/{fine_tuning_job_id}/cancel", None),
    ("get", "/fine_tuning/jobs/{fine_tuning_job_id}/events", None),
    ("get", "/fine_tuning/jobs/{fine_tuning_job_id}/checkpoints", None),
    ("post", "/fine_tuning/alpha/graders/validate", {"grader": GRADER}),
    ("post", "/fine_tuning/alpha/graders/run", {"grader": GRADER, "item": {"a": "b"}, "model_sample": "b"}),
    ("post", "/fine_tuning/alpha/graders/run", {"grader": BOTH, "item": {"a": "b"}, "model_sample": "c"}),
    ("post", "/evals", {"data_source_config": CONFIG, "testing_criteria": [CRITERION]}),
    ("post", "/evals", {"data_source_config": CONFIG, "testing_criteria": GRADERS}),
    ("get", "/evals/{eval_id}", None),
    ("get", "/evals", None),
    ("post", "/evals/{eval_id}", {"name": "other", "metadata": {"a": "b"}}),
    ("post", "/evals/{eval_id}/runs", {"data_source": {"type": "jsonl", "source": ROWS}}),
    (
        "post",
        "/evals/{eval_id}/runs",
        {"data_source": {"type": "completions", "source": ROWS, "model": BASE, "input_messages": TEMPLATE}},
    ),
    ("get", "/evals/{eval_id}/runs", None),
    ("get", "/evals/{eval_id}/runs/{run_id}", None),
    ("get", "/evals/{eval_id}/runs/{run_id}/output_items", None),
    ("get", "/evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}", None),
    ("delete", "/evals/{eval_id}/runs/{run_id}", None),
    ("delete", "/evals/{eval_id}", None),
]


def readable(schema: Any) -> Any:
    """Return a schema of the description as JSON Schema has it.

    The description still has words of an older one (``nullable``, ``exclusiveMinimum: true``), and alternatives that do
    not exclude each other in ``oneOf``. What is not required may be null: OpenAI's own answers, and the examples in its
    description, have null there. So has ``error`` of a run of an eval that did not fail, though it is required.
    """
    if isinstance(schema, list):
        return [readable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: readable(value) for name, value in schema.items() if name not in {"example", "examples", "default"}}
    if isinstance(found.get("properties"), dict) and isinstance(found.get("required", []), list):
        required = found.get("required", [])
        for name, value in found["properties"].items():
            if name not in required or name == "error":
                found["properties"][name] = {"anyOf": [value, {"type": "null"}]}
    if "oneOf" in found and "anyOf" not in found:
        found["anyOf"] = found.pop("oneOf")
    if found.get("exclusiveMinimum") is True:
        found["exclusiveMinimum"] = found.pop("minimum")
    if found.pop("nullable", False) is True:
        found = {"anyOf": [found, {"type": "null"}]}
    return found


class Description:
    """OpenAI's description, which says what an answer has to be."""

    def __init__(self) -> None:
        """Read it."""
        whole = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
        self._paths = whole["paths"]
        self._components = {"schemas": readable(whole["components"]["schemas"])}
        self._known: dict[str, Any] = {}

    def wrong(self, method: str, path: str, media: str, value: Any) -> list[str]:
        """Return what is wrong with an answer, each with its place."""
        answers = self._paths[path][method]["responses"]
        content = next(answer for status, answer in answers.items() if status.startswith("2")).get("content", {})
        if media not in content:
            return []
        schema = json.dumps(content[media]["schema"])
        if schema not in self._known:
            whole = {**readable(json.loads(schema)), "components": self._components}
            self._known[schema] = jsonschema_rs.Draft202012Validator(whole)
        found = self._known[schema].iter_errors(value)
        return [f"{'.'.join(map(str, each.instance_path))}: {each.message}" for each in found]


@pytest.fixture(scope="module")
def description() -> Description:
    """Give OpenAI's description."""
    return Description()


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Things]:
    """Give a gateway that holds something of everything."""
    with filled_gateway(tmp_path_factory.mktemp("described") / "home") as (url, own_key, secret):
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {secret}"}, timeout=60) as http:
            yield Things(http, own_key)


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_answers_are_as_described(
    description: Description, things: Things, method: str, path: str, body: dict[str, Any] | None
) -> None:
    """Every field that has to be there is there, with its type, in whole answers and in every event."""
    ours = f"/v1{path}".replace("fine_tuning_job_id", "job_id")
    named = things.named(ours) if "{" in ours else {}
    body = things.mend(body) if body and "input_file_id" in body else body
    answer = things.http.request(method, ours.replace("output_item_id", "item_id").format(**named), json=body)
    assert answer.status_code in {200, 201}, answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        events = [line[6:] for line in answer.text.split("\n") if line.startswith("data: ")]
        values, media = [json.loads(event) for event in events if event != "[DONE]"], "text/event-stream"
    else:
        values, media = [answer.json()], "application/json"
    assert values
    for value in values:
        assert description.wrong(method, path, media, value) == [], value
    if method == "delete":
        things.forget(ours)


def test_files_are_as_described(description: Description, things: Things) -> None:
    """The answer to an upload too; and the comparison finds a field that is missing."""
    answer = things.http.post("/v1/files", files={"file": ("a.txt", b"a")}, data={"purpose": "user_data"}).json()
    assert description.wrong("post", "/files", "application/json", answer) == []
    assert description.wrong("post", "/files", "application/json", {**answer, "bytes": "1"}) != []
    del answer["filename"]
    assert description.wrong("post", "/files", "application/json", answer) != []
