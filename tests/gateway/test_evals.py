"""Evals and runs through the official client: criteria, templates, counts, every answer, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from tests.gateway.criteria import HOLDS

from feilun.store import evals

Wait = Callable[[Callable[[], object]], None]
BASE = "smollm2-135m-instruct"
SCHEMA = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "answer"],
}
EQUALS = {**HOLDS, "name": "equals", "operation": "eq"}
TEMPLATE = {
    "type": "template",
    "template": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": {"type": "input_text", "text": "{{ item.question }}?"}},
    ],
}
ROWS = [
    {"item": {"question": "Is the fee FOUR", "answer": "you said: is the fee four?"}},
    {"item": {"question": "费用是多少", "answer": "You said: 费用是多少?"}},
    {"item": {"question": "What else", "answer": "nothing"}},
]


def new_eval(client: openai.OpenAI, *criteria: dict[str, Any]) -> Any:
    """Create an eval of questions and answers."""
    config = {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True}
    chosen = list(criteria) or [HOLDS, EQUALS]
    return client.evals.create(name="fees", data_source_config=config, testing_criteria=chosen, metadata={"by": "us"})


def completions(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a data source that asks the base."""
    return {"type": "completions", "source": source, "input_messages": TEMPLATE, "model": BASE, **more}


def content(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rows as a source."""
    return {"type": "file_content", "content": rows}


def test_an_eval_is_made_changed_listed_and_deleted(client: openai.OpenAI) -> None:
    """What was sent comes back; a change of the name leaves the rest; what is deleted is gone."""
    made = new_eval(client)
    assert made.testing_criteria[0].operation == "ilike"
    assert made.data_source_config.schema_["properties"]["item"] == SCHEMA
    changed = client.evals.update(made.id, name="rates")
    assert (changed.name, changed.metadata) == ("rates", {"by": "us"})
    assert [each.id for each in client.evals.list()] == [made.id]
    assert client.evals.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.evals.retrieve(made.id)


def test_a_run_grades_every_answer(client: openai.OpenAI, wait: Wait) -> None:
    """Counts per criterion and in all, and every answer with its prompt, can be read afterwards."""
    made = new_eval(client)
    how = {"max_completion_tokens": 50, "temperature": 0}
    run = client.evals.runs.create(made.id, name="first", data_source=completions(content(ROWS), sampling_params=how))
    wait(lambda: client.evals.runs.retrieve(run.id, eval_id=made.id).status not in {"queued", "in_progress"})
    run = client.evals.runs.retrieve(run.id, eval_id=made.id)
    assert (run.status, run.error) == ("completed", None)
    counts = run.result_counts
    assert (counts.total, counts.passed, counts.failed, counts.errored) == (3, 1, 2, 0)
    by_name = {each.testing_criteria: (each.passed, each.failed) for each in run.per_testing_criteria_results}
    assert by_name == {"holds": (2, 1), "equals": (1, 2)}
    assert run.per_model_usage[0].invocation_count == 3
    items = list(client.evals.runs.output_items.list(run.id, eval_id=made.id, limit=2))
    assert [item.status for item in items] == ["fail", "pass", "fail"]
    assert items[1].sample.input[1].content == "费用是多少?"
    assert items[1].sample.output[0].content == "You said: 费用是多少?"
    assert items[1].datasource_item == ROWS[1]["item"]
    one = client.evals.runs.output_items.retrieve(items[2].id, eval_id=made.id, run_id=run.id)
    assert [result.passed for result in one.results] == [False, False]
    passed = client.evals.runs.output_items.list(run.id, eval_id=made.id, status="pass").data
    assert [item.id for item in passed] == [items[1].id]
    assert client.evals.runs.delete(run.id, eval_id=made.id).deleted
    assert client.evals.runs.list(made.id).data == []


def test_answers_say_which_model_gave_them(client: openai.OpenAI, gateway: Any, wait: Wait) -> None:
    """And how long it took, so that runs can be compared; of answers that came with the rows nobody knows the model."""
    made = new_eval(client)
    given = [{**row, "sample": {"output_text": "nothing"}} for row in ROWS]
    hashes = []
    for source in (completions(content(ROWS)), completions(content(ROWS)), {"type": "jsonl", "source": content(given)}):
        run = client.evals.runs.create(made.id, name="one", data_source=source)
        wait(lambda run=run: client.evals.runs.retrieve(run.id, eval_id=made.id).status == "completed")
        answers = evals.answers(gateway.db, "bank", run.id)
        assert all(answer.meta["seconds"] > 0 for answer in answers)
        hashes.append({answer.meta.get("identity") for answer in answers})
    assert hashes[0] == hashes[1] != {None}
    assert len(hashes[0]) == 1
    assert hashes[2] == {None}


def test_all_graders_work_side_by_side(client: openai.OpenAI, wait: Wait) -> None:
    """Programs, likeness, formulas over others, ours; a judge's words that are no grade are that criterion's error."""
    program = "def grade(sample, item):\n    return 1.0 if item['answer'] in sample['output_text'] else 0.0"
    output = "{{ sample.output_text }}"
    alike = {"input": output, "reference": "{{ item.question }}", "evaluation_metric": "fuzzy_match"}
    both = {"a": {"type": "python", "source": program}, "b": {"type": "regex", "pattern": "You said"}}
    asking = [{"role": "user", "content": "Mark: {{ sample.output_text }}"}]
    criteria = [
        {"type": "python", "name": "program", "source": program},
        {"type": "text_similarity", "name": "alike", "pass_threshold": 0.4, **alike},
        {"type": "multi", "name": "both", "graders": both, "calculate_output": "a * b"},
        {"type": "contains", "name": "holds", "accept": ["{{ item.answer }}"]},
        {
            "type": "label_model",
            "name": "judged",
            "model": BASE,
            "input": asking,
            "labels": ["x"],
            "passing_labels": [],
        },
    ]
    made = new_eval(client, *criteria)
    assert {each.type for each in client.evals.retrieve(made.id).testing_criteria} >= {"python", "label_model"}
    run = client.evals.runs.create(made.id, data_source=completions(content(ROWS[1:2])))
    wait(lambda: client.evals.runs.retrieve(run.id, eval_id=made.id).status not in {"queued", "in_progress"})
    assert client.evals.runs.retrieve(run.id, eval_id=made.id).status == "completed"
    item = client.evals.runs.output_items.list(run.id, eval_id=made.id).data[0]
    found = {result.name: (result.type, result.passed) for result in item.results}
    assert found == {
        "program": ("python", True),
        "alike": ("text_similarity", True),
        "both": ("multi", True),
        "holds": ("contains", True),
        "judged": ("label_model", False),
    }


def test_a_judge_that_is_not_there_is_said_at_once(client: openai.OpenAI) -> None:
    """A run whose criterion names no model of ours does not begin."""
    asking = [{"role": "user", "content": "Mark: {{ sample.output_text }}"}]
    judged = {"type": "score_model", "name": "judged", "model": "nobody", "input": asking}
    made = new_eval(client, judged)
    with pytest.raises(openai.NotFoundError):
        client.evals.runs.create(made.id, data_source=completions(content(ROWS)))


def test_rows_from_a_file_and_answers_that_are_already_there(client: openai.OpenAI, wait: Wait) -> None:
    """A file's rows are asked; rows with answers are only graded."""
    data = "\n".join(json.dumps(row) for row in ROWS).encode()
    file = client.files.create(file=("rows.jsonl", data), purpose="evals")
    made = new_eval(client, HOLDS)
    asked = client.evals.runs.create(made.id, data_source=completions({"type": "file_id", "id": file.id}))
    given = [{**row, "sample": {"output_text": "Nothing."}} for row in ROWS]
    graded = client.evals.runs.create(made.id, data_source={"type": "jsonl", "source": content(given)})
    for run, passed in ((asked, 2), (graded, 1)):
        wait(lambda run=run: client.evals.runs.retrieve(run.id, eval_id=made.id).status == "completed")
        assert client.evals.runs.retrieve(run.id, eval_id=made.id).result_counts.passed == passed


def test_a_run_that_is_cancelled_stays_so(client: openai.OpenAI, gateway: Any, wait: Wait) -> None:
    """A running run stops soon after it was asked to."""
    gateway.engine.pause = 0.2
    made = new_eval(client, HOLDS)
    run = client.evals.runs.create(made.id, data_source=completions(content(ROWS * 60)))
    wait(lambda: client.evals.runs.retrieve(run.id, eval_id=made.id).status == "in_progress")
    client.evals.runs.cancel(run.id, eval_id=made.id)
    wait(lambda: client.evals.runs.retrieve(run.id, eval_id=made.id).status == "canceled")
    counts = client.evals.runs.retrieve(run.id, eval_id=made.id).result_counts
    assert (counts.total, counts.passed + counts.failed < 180) == (180, True)


def test_an_engine_that_is_down_fails_the_run_and_says_so(client: openai.OpenAI, gateway: Any, wait: Wait) -> None:
    """The reason is in the run."""
    gateway.engine.crash_after = 1
    made = new_eval(client, HOLDS)
    run = client.evals.runs.create(made.id, data_source=completions(content(ROWS)))
    wait(lambda: client.evals.runs.retrieve(run.id, eval_id=made.id).status == "failed")
    assert client.evals.runs.retrieve(run.id, eval_id=made.id).error.code == "engine_down"


@pytest.mark.parametrize(
    "wrong",
    [
        completions(content([{"item": {"question": "a"}}])),
        completions(
            content(ROWS),
            input_messages={"type": "template", "template": [{"role": "user", "content": "{{ item.x }}"}]},
        ),
        completions(content(ROWS), input_messages={"type": "item_reference", "item_reference": "item.messages"}),
        completions(content(ROWS), model="gpt-9"),
        completions(content(ROWS), sampling_params={"response_format": {"type": "json_object"}}),
        completions({"type": "file_id", "id": "file-none"}),
        completions({"type": "stored_completions"}),
        {"type": "jsonl", "source": content(ROWS)},
        {"type": "responses"},
    ],
)
def test_a_run_that_cannot_be_is_refused(client: openai.OpenAI, wrong: dict[str, Any]) -> None:
    """Rows, templates, models and sources are checked before anything is queued."""
    made = new_eval(client)
    with pytest.raises(openai.APIStatusError) as caught:
        client.evals.runs.create(made.id, data_source=wrong)
    assert caught.value.status_code in {400, 404}
    assert client.evals.runs.list(made.id).data == []


def test_a_criterion_that_we_do_not_have_is_refused(client: openai.OpenAI) -> None:
    """Other graders, other operations and two criteria of one name are client errors."""
    config = {"type": "custom", "item_schema": SCHEMA}
    python = {"type": "python", "name": "x", "source": "1"}
    for wrong in ([{**HOLDS, "operation": "about"}], [python], [HOLDS, HOLDS], []):
        with pytest.raises(openai.BadRequestError):
            client.evals.create(data_source_config=config, testing_criteria=wrong)
