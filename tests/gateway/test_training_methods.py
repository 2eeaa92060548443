"""Methods of training through the API: what each takes and refuses, graders, teachers, checkpoints, pausing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from feilun.gateway.endpoints.fine_tuning.methods import Chosen, Method, chosen
from feilun.gateway.endpoints.fine_tuning.teacher import compact
from feilun.gateway.endpoints.fine_tuning.work import metrics_of
from feilun.records import Eval, EvalItem
from feilun.settings import Settings, load
from feilun.store import datasets, evals, lineage
from feilun.training.recipes import numbers, samples_of

BASE = "smollm2-135m-instruct"
Wait = Callable[[Callable[[], object]], None]
HOLDS = {
    "type": "string_check",
    "name": "holds",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference_answer}}",
    "operation": "ilike",
}


def user(text: str) -> dict[str, str]:
    """Return what a person says."""
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    """Return what the assistant says."""
    return {"role": "assistant", "content": text}


def asked(number: int) -> str:
    """Return a question."""
    return f"What is the fee of account number {number}?"


def row(form: str, number: int) -> dict[str, Any]:
    """Return an example of a form."""
    answer, other = f"It is {number} crowns.", "I do not know that."
    if form == "preference":
        sides = {"preferred_output": [said(answer)], "non_preferred_output": [said(other)]}
        return {"input": {"messages": [user(asked(number))], "tools": [], "parallel_tool_calls": True}, **sides}
    if form == "text":
        return {"text": f"{asked(number)} {answer}"}
    if form == "prompt":
        return {"messages": [user(asked(number))], "reference_answer": str(number)}
    chat = {"messages": [user(asked(number)), said(answer)]}
    return {**chat, "liked": bool(number % 2)} if form == "judged" else chat


def file_of(form: str, count: int = 12) -> list[dict[str, Any]]:
    """Return the rows of a file."""
    return [row(form, number) for number in range(count)]


def upload(client: openai.OpenAI, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
    """Upload rows; return the file's id."""
    data = "\n".join(json.dumps(each, ensure_ascii=False) for each in rows).encode()
    return client.files.create(file=(name, data), purpose="fine-tune").id


METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "supervised": ("chat", {"hyperparameters": {"n_epochs": 2, "batch_size": 4}}),
    "full": ("chat", {}),
    "cpt": ("text", {}),
    "dpo": ("preference", {"hyperparameters": {"beta": 0.2}}),
    "reward": ("preference", {}),
    "kto": ("judged", {"hyperparameters": {"beta": "auto"}}),
    "reinforcement": ("prompt", {"grader": HOLDS, "hyperparameters": {"reasoning_effort": "low"}}),
    "reasoning": ("prompt", {"grader": HOLDS, "hyperparameters": {"samples": 4}}),
    "distillation": ("prompt", {"teacher": BASE, "hyperparameters": {"temperature": 0.5}}),
}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_takes_its_form(client: openai.OpenAI, gateway: Any, method: str) -> None:
    """The job says what it was told, and the dataset version has every row, in the kind that the method learns from."""
    form, told = METHODS[method]
    job = client.fine_tuning.jobs.create(
        model=BASE, training_file=upload(client, file_of(form)), method={"type": method, method: told}, seed=3
    )
    client.fine_tuning.jobs.cancel(job.id)
    assert job.method.type == method
    shown = job.to_dict()["method"][method]
    assert {name: shown["hyperparameters"][name] for name in told.get("hyperparameters", {})} == told.get(
        "hyperparameters", {}
    )
    assert job.to_dict()["removed"] == 0
    kept = datasets.read(gateway.db, "bank", job.to_dict()["dataset"], "train")
    assert len(kept) == 12
    assert {record.kind for record in kept} == {{"preference": "preference", "text": "passage"}.get(form, "chat")}
    training = gateway.state.journal.get(job.id).spec["training"]
    assert training["seed"] == 3
    assert ("batch" in training) == (method == "supervised")
    assert gateway.state.journal.get(job.id).spec.get("teacher") == told.get("teacher")


VALUES: dict[str, Any] = {
    "n_epochs": 3,
    "learning_rate_multiplier": 0.5,
    "batch_size": 5,
    "beta": 0.3,
    "samples": 5,
    "max_tokens": 33,
    "compute_multiplier": 1.5,
    "eval_interval": 2,
    "eval_samples": 2,
    "reasoning_effort": "low",
    "temperature": 0.4,
    "logprobs": False,
}
REACHED = {"beta": ("beta", 0.3), "samples": ("samples", 5.0), "compute_multiplier": ("samples", 12.0)}


def plan_of(method: str, names: list[str]) -> dict[str, Any]:
    """Return what the plan is told of a method whose hyperparameters of these names are said."""
    told = {**METHODS[method][1], "hyperparameters": {name: VALUES[name] for name in names}}
    return chosen(Method.model_validate({"type": method, method: told}), None).plan(1e-3)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_hyperparameter_reaches_the_process(method: str) -> None:
    """Each that the API documents for a method, alone and all together, is one that the training process takes."""
    told = {**METHODS[method][1], "hyperparameters": {}}
    names = list(Method.model_validate({"type": method, method: told}).model_dump()[method]["hyperparameters"])
    for name in names:
        plan = plan_of(method, [name])
        taken = numbers(plan["method"], plan["options"])
        if name in REACHED:
            assert taken[REACHED[name][0]] == REACHED[name][1]
    plan = plan_of(method, names)
    numbers(plan["method"], plan["options"])
    assert (plan["epochs"], plan["batch"], plan["learning_rate"]) == (3, 5, 0.0005)


def test_what_a_recipe_does_not_take_is_refused_when_it_is_asked_for(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan with an option of another method makes no job."""
    monkeypatch.setattr(Chosen, "plan", lambda *_: {"method": "grpo", "options": {"answers": 4}})
    before = len(client.fine_tuning.jobs.list().data)
    told = {"type": "reinforcement", "reinforcement": METHODS["reinforcement"][1]}
    file = upload(client, file_of("prompt"))
    with pytest.raises(openai.BadRequestError, match="grpo takes no answers"):
        client.fine_tuning.jobs.create(model=BASE, training_file=file, method=told)
    assert len(client.fine_tuning.jobs.list().data) == before


@pytest.mark.parametrize("method", ["reinforcement", "reasoning"])
@pytest.mark.parametrize("change", [{}, {"reference_answer": None}])
def test_a_line_that_the_grader_cannot_grade_is_named(
    client: openai.OpenAI, method: str, change: dict[str, Any]
) -> None:
    """Before there is a job; an empty reference would pass every answer."""
    rows = file_of("prompt")
    rows[2] = {"messages": rows[2]["messages"], "other": 1, **change}
    file, says = upload(client, rows), "line 3: the grader names item.reference_answer, which this line lacks"
    with pytest.raises(openai.BadRequestError, match=says) as refused:
        client.fine_tuning.jobs.create(
            model=BASE, training_file=file, method={"type": method, method: {"grader": HOLDS}}
        )
    assert refused.value.param == "training_file"


def test_an_answer_is_the_reference_unless_the_line_says_another(client: openai.OpenAI, gateway: Any) -> None:
    """A chat is graded against its own answer; what a template names of it, or of the sample, must be there."""
    file, told = upload(client, file_of("chat")), {"type": "reinforcement", "reinforcement": {"grader": HOLDS}}
    job = client.fine_tuning.jobs.create(model=BASE, training_file=file, method=told)
    client.fine_tuning.jobs.cancel(job.id)
    kept = datasets.read(gateway.db, "bank", job.to_dict()["dataset"], "train")
    assert {"reference_answer": "It is 3 crowns."} in [line["item"] for line in samples_of("grpo", kept)]
    for wrong in ({"reference": "{{item.reference_answer.short}}"}, {"input": "{{sample.words}}"}):
        told = {"type": "reinforcement", "reinforcement": {"grader": HOLDS | wrong}}
        with pytest.raises(openai.BadRequestError, match="which this line lacks"):
            client.fine_tuning.jobs.create(model=BASE, training_file=file, method=told)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("n_epochs", 100, "n_epochs must be 'auto' or a whole number from 1 to 50, not 100"),
        ("batch_size", "many", "batch_size must be 'auto' or a whole number from 1 to 256, not 'many'"),
        ("learning_rate_multiplier", 0, "must be 'auto' or a number above 0 and at most 100, not 0"),
    ],
)
def test_a_number_out_of_its_range_is_told_the_range(client: openai.OpenAI, name: str, value: Any, says: str) -> None:
    """And the parameter is named as clients know it."""
    told = {"type": "supervised", "supervised": {"hyperparameters": {name: value}}}
    with pytest.raises(openai.BadRequestError, match=says) as refused:
        client.fine_tuning.jobs.create(model=BASE, training_file="file-none", method=told)
    assert refused.value.param == f"method.supervised.hyperparameters.{name}"


def test_an_answer_beside_what_a_grader_is_told(client: openai.OpenAI) -> None:
    """Reinforcement takes it; what learns from chats says what it cannot learn."""
    rows = [{**row("chat", number), "reference_answer": str(number)} for number in range(12)]
    file = upload(client, rows)
    told = {"type": "reinforcement", "reinforcement": {"grader": HOLDS}}
    client.fine_tuning.jobs.cancel(client.fine_tuning.jobs.create(model=BASE, training_file=file, method=told).id)
    with pytest.raises(openai.BadRequestError, match="line 1: reference_answer cannot be learned here"):
        client.fine_tuning.jobs.create(model=BASE, training_file=file)


@pytest.mark.parametrize(
    ("method", "rows", "says"),
    [
        ("dpo", file_of("chat"), "dpo does not learn from lines like"),
        ("supervised", file_of("prompt"), "line 1: the last message is not the assistant's"),
        ("cpt", file_of("chat"), "cpt does not learn from"),
        ("kto", [{**each, "liked": True} for each in file_of("chat")], "only liked answers"),
        ("supervised", [{"messages": [user("Same?"), said(f"{n}.")]} for n in range(12)], "ask the same"),
        ("dpo", file_of("preference", 1) * 30, "has 1 example"),
        ("supervised", file_of("chat", 1), "has 1 example"),
    ],
)
def test_files_that_teach_nothing_are_refused(
    client: openai.OpenAI, method: str, rows: list[dict[str, Any]], says: str
) -> None:
    """A form that the method does not take, one row, all the same: no job is made."""
    with pytest.raises(openai.BadRequestError, match=says):
        client.fine_tuning.jobs.create(model=BASE, training_file=upload(client, rows), method={"type": method})
    assert client.fine_tuning.jobs.list().data == []


def test_what_an_exam_asks_is_not_learnt(client: openai.OpenAI, gateway: Any) -> None:
    """The row that gives it away is left out, and the job, its events and the dataset version say so."""
    item = EvalItem("item-7", f"{asked(7)} Answer in crowns, please.", ("7",))
    evals.add(gateway.db, Eval("eval-fees", "bank", "fees exam", (item,), meta={"kind": "general"}))
    rows = [*file_of("chat"), {"messages": [user(item.question), said("It is 7 crowns.")]}]
    job = client.fine_tuning.jobs.create(model=BASE, training_file=upload(client, rows))
    client.fine_tuning.jobs.cancel(job.id)
    removed = job.to_dict()["removed"]
    kept = datasets.read(gateway.db, "bank", job.to_dict()["dataset"], "train")
    assert item.question not in [message["content"] for record in kept for message in record.messages]
    assert removed == 13 - len(kept) >= 1
    told = [event for event in client.fine_tuning.jobs.list_events(job.id) if event.level == "warn"]
    assert "because an exam asks them: line" in told[0].message
    assert told[0].to_dict()["data"]["removed"][-1]["item"] == "item-7"
    assert datasets.get(gateway.db, "bank", job.to_dict()["dataset"]).meta["removed"] == removed


def test_a_validation_file_holds_other_examples(client: openai.OpenAI, gateway: Any) -> None:
    """It becomes a dataset version of its own; the training file again, or one of another form, is refused."""
    training = upload(client, file_of("chat"))
    other = upload(client, [row("chat", number) for number in range(20, 24)], "held.jsonl")
    job = client.fine_tuning.jobs.create(model=BASE, training_file=training, validation_file=other)
    client.fine_tuning.jobs.cancel(job.id)
    assert job.validation_file == other
    held = gateway.state.journal.get(job.id).spec["training"]["held_out"]
    assert len(datasets.read(gateway.db, "bank", held, "train")) == 4
    for wrong in (training, upload(client, file_of("chat"), "copy.jsonl"), upload(client, file_of("text"))):
        with pytest.raises(openai.BadRequestError):
            client.fine_tuning.jobs.create(model=BASE, training_file=training, validation_file=wrong)


@pytest.fixture
def http(gateway: Any) -> httpx.Client:
    """Give a plain client of a builder."""
    client: httpx.Client = gateway.http(gateway.key("bank", "builder"))
    return client


def test_graders_are_tried_before_they_are_used(http: httpx.Client) -> None:
    """A right answer, a wrong one, a grader of several, and one that no model can be."""
    path = "/v1/fine_tuning/alpha/graders"
    assert http.post(f"{path}/validate", json={"grader": HOLDS}).json() == {"grader": HOLDS}
    assert http.post(f"{path}/validate", json={"grader": {"type": "magic"}}).status_code == 400
    body = {"grader": HOLDS, "item": {"reference_answer": "four"}}
    for answer, reward in (("It is Four.", 1.0), ("It is 5.", 0.0)):
        found = http.post(f"{path}/run", json={**body, "model_sample": answer}).json()
        assert (found["reward"], found["passed"]) == (reward, reward == 1.0)
        assert found["metadata"]["scores"] == {"holds": reward}
        assert found["metadata"]["errors"]["other_error"] is False
    short = {**HOLDS, "name": "short", "reference": "it"}
    several = {"type": "multi", "name": "both", "graders": {"a": HOLDS, "b": short}, "calculate_output": "(a + b) / 2"}
    found = http.post(f"{path}/run", json={**body, "grader": several, "model_sample": "It is 5."}).json()
    assert (found["reward"], found["sub_rewards"]) == (0.5, {"a": 0.0, "b": 1.0})


def test_losses_are_given_out_as_a_table() -> None:
    """One line a step; the held-out loss stands where it was looked at; nothing of a run without losses."""
    result = {"loss": [2.5, 2.0, 1.75], "held_out": [[0, 3.0], [2, 2.25]]}
    assert metrics_of(result) == "step,train_loss,valid_loss\n1,2.5,\n2,2.0,2.25\n3,1.75,\n"
    assert metrics_of({}) == "step,train_loss,valid_loss\n"


def test_a_teachers_words_are_kept_with_their_odds() -> None:
    """Every token with its alternatives; its own is among them; an answer without any has none."""
    row = {"token": "It", "logprob": -0.5, "top_logprobs": [{"token": "He", "logprob": -1.0}]}
    assert compact({"content": [row]}) == [{"token": "It", "top": [["He", -1.0], ["It", -0.5]]}]
    assert compact(None) == compact({"content": None}) == []


@pytest.fixture
def tiny(tmp_path: Path, tiny_folder: Callable[[Path], Path]) -> Settings:
    """Give settings whose base is a tiny random model."""
    folder = tiny_folder(tmp_path / "tiny")
    given = {"home": str(tmp_path / "home"), "engine": "fake", "model": str(folder), "threads": 1}
    return load(environment={}, given=given)


@pytest.fixture
def trainer(tiny: Settings, serve: Any, replay_of: Callable[[Settings], None]) -> Iterator[Any]:
    """Give a gateway that can really train."""
    replay_of(tiny)
    yield from serve(tiny)


def ended(client: openai.OpenAI, job: str, wait: Wait) -> Any:
    """Return a job once it is over."""
    wait(lambda: client.fine_tuning.jobs.retrieve(job).status in {"succeeded", "failed", "cancelled"})
    return client.fine_tuning.jobs.retrieve(job)


def test_what_does_not_fit_is_named(trainer: Any) -> None:
    """A row longer than the model's window is refused with its line and length."""
    client = trainer.openai(trainer.key())
    rows = [*file_of("chat"), {"messages": [user("word " * 600), said("Yes.")]}]
    with pytest.raises(openai.BadRequestError, match=r"line 13: \d{3,} tokens long; tiny takes 512"):
        client.fine_tuning.jobs.create(model="tiny", training_file=upload(client, rows))


@pytest.mark.slow
def test_a_teacher_answers_and_a_checkpoint_goes_on(trainer: Any, wait: Wait) -> None:
    """The teacher's words are what is learnt; every checkpoint can be called, and the last one be trained further."""
    client = trainer.openai(trainer.key())
    prompts = upload(client, [{"messages": [user(asked(number))]} for number in range(12)])
    told = {"teacher": "tiny", "hyperparameters": {"n_epochs": 3, "batch_size": 4}}
    method: Any = {"type": "distillation", "distillation": told}
    job = client.fine_tuning.jobs.create(model="tiny", training_file=prompts, method=method)
    assert job.to_dict()["estimate"]["seconds"] > 0
    assert job.to_dict()["estimate"]["teacher"]["calls"] == 12
    job = ended(client, job.id, wait)
    assert (job.status, job.error) == ("succeeded", None)
    learnt = datasets.read(trainer.db, "bank", job.to_dict()["dataset"], "train")
    assert [record.messages[-1]["content"] for record in learnt] == [f"You said: {asked(n)}" for n in range(12)]
    (table,) = job.result_files
    assert client.files.content(table).text.startswith("step,train_loss,valid_loss\n1,")
    assert all(record.meta["teacher"] == "tiny" and record.meta["logprobs"] for record in learnt)
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert checkpoints[0].fine_tuned_model_checkpoint == job.fine_tuned_model
    steps = [each.step_number for each in checkpoints]
    assert len(steps) == 3
    assert steps == sorted(set(steps), reverse=True)
    for each in checkpoints:
        assert each.metrics.train_loss
        answer = client.chat.completions.create(model=each.fine_tuned_model_checkpoint, messages=[user("hello")])
        assert answer.choices[0].message.content
    quick: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}
    start = checkpoints[-1].fine_tuned_model_checkpoint
    more = client.fine_tuning.jobs.create(model=start, training_file=upload(client, file_of("chat")), method=quick)
    more = ended(client, more.id, wait)
    assert (more.status, more.error) == ("succeeded", None)
    above = {edge.parent for edge in lineage.ancestors(trainer.db, "bank", str(more.fine_tuned_model))}
    assert {start, job.id, prompts} <= above


@pytest.mark.slow
def test_a_paused_job_waits_and_others_go_on(trainer: Any, wait: Wait) -> None:
    """Paused in the middle, it is shown so and a later job overtakes it; resumed, it succeeds; ended, it cannot be."""
    client = trainer.openai(trainer.key())
    http = trainer.http(trainer.key())
    file = upload(client, file_of("chat", 40))
    long: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 30, "batch_size": 4}}}
    short: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}}
    first = client.fine_tuning.jobs.create(model="tiny", training_file=file, method=long)
    wait(lambda: any(e.type == "metrics" for e in client.fine_tuning.jobs.list_events(first.id, limit=100).data))
    paused = http.post(f"/v1/fine_tuning/jobs/{first.id}/pause").json()
    assert paused["paused"] is True
    second = client.fine_tuning.jobs.create(model="tiny", training_file=file, method=short)
    assert ended(client, second.id, wait).status == "succeeded"
    held = client.fine_tuning.jobs.retrieve(first.id)
    assert (held.status, held.fine_tuned_model) == ("queued", None)
    assert http.post(f"/v1/fine_tuning/jobs/{first.id}/resume").json()["paused"] is False
    assert ended(client, first.id, wait).status == "succeeded"
    for action in ("pause", "resume"):
        assert http.post(f"/v1/fine_tuning/jobs/{first.id}/{action}").status_code == 409
