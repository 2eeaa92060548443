"""Upload a file, train on it, follow the job: the official client, a real training on a tiny model."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import sqlalchemy as sa

from feilun.errors import NotFound
from feilun.gateway.endpoints.files import delete_expired
from feilun.settings import Settings, load
from feilun.store import lineage, sources
from feilun.store.schema import SOURCES

Wait = Callable[[Callable[[], object]], None]


def lines(number: int, word: str = "fee") -> bytes:
    """Return that many training examples."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What is the {word} of account number {i}?"},
                {"role": "assistant", "content": f"The {word} of account {i} is {i} crowns. 费用是{i}克朗。"},
            ]
        }
        for i in range(number)
    ]
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()


def upload(client: openai.OpenAI, data: bytes, name: str = "pairs.jsonl", **more: Any) -> Any:
    """Upload a file for fine-tuning."""
    return client.files.create(file=(name, data), purpose="fine-tune", extra_body=more or None)


def test_a_file_comes_back_as_it_went_in(client: openai.OpenAI, gateway: Any) -> None:
    """Upload, list, retrieve, read and delete; Chinese names and bytes survive; permissions are shown."""
    data = lines(12)
    file = upload(client, data, "问答.jsonl")
    assert (file.filename, file.bytes, file.purpose) == ("问答.jsonl", len(data), "fine-tune")
    granted = {"train": True, "retrieve": True, "leave": False, "mask": "none", "until": None}
    assert file.permissions == {**granted, "basis": "own", "encrypt": False}
    assert client.files.content(file.id).read() == data
    other = client.files.create(file=("exam.jsonl", b'{"item": {}}'), purpose="evals")
    assert [each.id for each in client.files.list()] == [other.id, file.id]
    assert [each.id for each in client.files.list(purpose="evals")] == [other.id]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    assert [source.id for source in sources.find(gateway.db, "bank")] == [other.id]
    assert not list((gateway.settings.root / "uploads").iterdir())


def test_a_file_ends_when_it_was_said_to(client: openai.OpenAI, gateway: Any) -> None:
    """Its end is told; from then on nobody finds it, and its bytes go; one without an end stays."""
    stays = client.files.create(file=("a.jsonl", b'{"item": 1}'), purpose="evals")
    ends = client.files.create(
        file=("b.jsonl", b'{"item": 2}'),
        purpose="evals",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (stays.expires_at, ends.expires_at) == (None, ends.created_at + 3600)
    assert client.files.retrieve(ends.id).expires_at == ends.expires_at
    delete_expired(gateway.db)
    assert client.files.content(ends.id).read() == b'{"item": 2}'
    with gateway.db.writing() as conn:
        conn.execute(sa.update(SOURCES).where(SOURCES.c.id == ends.id).values(created=time.time() - 3601))
    for look in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            look(ends.id)
    assert [each.id for each in client.files.list()] == [stays.id]
    delete_expired(gateway.db)
    assert [source.id for source in sources.find(gateway.db, "bank")] == [stays.id]
    with pytest.raises(NotFound):
        sources.content(gateway.db, "bank", ends.id, "inspect")


@pytest.mark.parametrize(
    "wrong", [{"anchor": "created_at", "seconds": 9}, {"anchor": "later", "seconds": 3600}, {"anchor": "created_at"}]
)
def test_an_end_that_cannot_be_kept_is_refused(client: openai.OpenAI, gateway: Any, wrong: Any) -> None:
    """Nothing that was said about an end is ignored, and nothing is kept."""
    with pytest.raises(openai.BadRequestError, match="expires_after"):
        client.files.create(file=("a.jsonl", b"{}"), purpose="evals", expires_after=wrong)
    assert sources.find(gateway.db, "bank") == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (
            lines(1) + b'\n{"messages": [{"role": "user", "content": "a"}]}',
            "line 2: the last message is not the assistant",
        ),
        (
            b'{"messages": [{"role": "user", "content": "a"}]}\n' + lines(1),
            "line 1: the last message is not the assistant",
        ),
        (b'{"messages": [{"role": "system", "content": "a"}]}', "line 1: no message of the user"),
        (lines(2) + b"\nnonsense", "line 3: not JSON"),
        (lines(2) + b"\n[1]", "line 3: no list of messages"),
        (b'{"messages": [{"role": "wizard", "content": "a"}]}', "line 1: a message with the role 'wizard'"),
        (b'{"messages": [{"role": "user", "content": ""}]}', "line 1: a message without a text"),
        (b'{"messages": [], "tools": []}', "line 1: tools cannot be learned here"),
        (b"", "holds no example"),
        (b"\xff\xfe\x00", "it seems to be UTF-16, but is damaged"),
        (b"\x00\xff\x01\x02\xfe" * 9, "it holds binary data"),
    ],
)
def test_a_wrong_training_file_is_refused_by_line(client: openai.OpenAI, gateway: Any, wrong: bytes, says: str) -> None:
    """The error names the line, and nothing is kept."""
    with pytest.raises(openai.BadRequestError) as caught:
        upload(client, wrong)
    assert says in caught.value.message
    assert sources.find(gateway.db, "bank") == []


@pytest.mark.parametrize(
    "wrong", ["{", '{"train": "no"}', '{"trian": false}', "[]", '{"until": "soon"}', '{"mask": null}']
)
def test_permissions_that_are_not_understood_are_refused(client: openai.OpenAI, gateway: Any, wrong: str) -> None:
    """A typing error must not permit anything."""
    with pytest.raises(openai.BadRequestError):
        upload(client, lines(12), permissions=wrong)
    assert sources.find(gateway.db, "bank") == []


def test_a_file_that_forbids_training_is_not_trained_on_by_any_name(client: openai.OpenAI) -> None:
    """Neither the file, nor its bytes under another name, nor its texts in another file make a dataset."""
    data = lines(12)
    forbidden = upload(client, data, permissions=json.dumps({"train": False}))
    again = upload(client, data, "copy.jsonl")
    assert again.permissions["train"] is False
    inside = upload(client, data + b"\n" + lines(3, "rate"), "more.jsonl")
    for file in (forbidden, again, inside):
        with pytest.raises(openai.PermissionDeniedError) as caught:
            client.fine_tuning.jobs.create(model="smollm2-135m-instruct", training_file=file.id)
        assert caught.value.code == "forbidden"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"model": "gpt-4o"}, "model_not_found"),
        ({"training_file": "file-nothing"}, "not_found"),
        ({"method": {"type": "dpo"}}, "invalid_request"),  # the file holds no preferences
        ({"method": {"type": "magic"}}, "invalid_request"),
        ({"method": {"type": "dpo", "supervised": {}}}, "invalid_request"),
        ({"method": {"type": "reinforcement"}}, "invalid_request"),
        ({"method": {"type": "reasoning", "reasoning": {"grader": {"type": "magic"}}}}, "invalid_request"),
        ({"method": {"type": "distillation"}}, "invalid_request"),
        ({"method": {"type": "distillation", "distillation": {"teacher": "nobody"}}}, "model_not_found"),
        ({"method": {"type": "supervised"}, "hyperparameters": {"n_epochs": 2}}, "invalid_request"),
        ({"hyperparameters": {"n_epochs": 0}}, "invalid_request"),
        ({"hyperparameters": {"learning_rate_multiplier": -1}}, "invalid_request"),
        ({"hyperparameters": {"batch_size": 300}}, "invalid_request"),
        ({"hyperparameters": {"beta": 0.1}}, "invalid_request"),
        ({"validation_file": "file-x"}, "not_found"),
        ({"seed": 2**70}, "invalid_request"),
    ],
)
def test_a_wrong_job_is_refused(client: openai.OpenAI, wrong: dict[str, Any], code: str) -> None:
    """What we cannot do is said at once; no job is made."""
    file = upload(client, lines(12))
    given = {"model": "smollm2-135m-instruct", "training_file": file.id, **wrong}
    with pytest.raises(openai.APIStatusError) as caught:
        client.fine_tuning.jobs.create(**given)
    assert caught.value.code == code
    assert client.fine_tuning.jobs.list().data == []


def test_ten_examples_are_needed(client: openai.OpenAI) -> None:
    """Nine, or ten of which two are the same, are too few; the message says how many there are."""
    for data in (lines(9), lines(9) + b"\n" + lines(1)):
        with pytest.raises(openai.BadRequestError, match="has 9 example"):
            client.fine_tuning.jobs.create(model="smollm2-135m-instruct", training_file=upload(client, data).id)


@pytest.fixture
def tiny(tmp_path: Path, tiny_folder: Callable[[Path], Path]) -> Settings:
    """Give settings whose base is a tiny random model, and that remembers nothing, so that training takes seconds."""
    folder = tiny_folder(tmp_path / "tiny")
    home = tmp_path / "home"
    # Training first asks the base what it says to everyday questions; here it has said so already.
    given = {"home": str(home), "engine": "fake", "model": str(folder), "threads": 1}
    return load(environment={}, given=given)


@pytest.fixture
def trainer(tiny: Settings, serve: Any, replay_of: Callable[[Settings], None]) -> Iterator[Any]:
    """Give a gateway that can really train."""
    replay_of(tiny)
    yield from serve(tiny)


@pytest.mark.slow
def test_a_training_job_from_upload_to_a_model_that_answers(trainer: Any, wait: Wait) -> None:
    """The job's events can be followed page by page; the new version is listed, answers, and knows where it is from."""
    client = trainer.openai(trainer.key())
    file = upload(client, lines(12))
    how = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, "learning_rate_multiplier": 0.5}}}
    job = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, suffix="fees", seed=7, method=how)
    assert job.status in {"queued", "running"}
    ended = {"succeeded", "failed", "cancelled"}
    wait(lambda: client.fine_tuning.jobs.retrieve(job.id).status in ended)
    job = client.fine_tuning.jobs.retrieve(job.id)
    assert (job.status, job.error) == ("succeeded", None)
    assert job.trained_tokens > 0
    assert job.seed == 7
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=1))
    assert any(event.type == "metrics" and event.data["loss"] > 0 for event in events)
    assert len({event.id for event in events}) == len(events)
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id).data
    assert checkpoints[0].fine_tuned_model_checkpoint == job.fine_tuned_model
    model = client.models.retrieve(job.fine_tuned_model)
    assert (model.kind, model.base, model.name) == ("adapter", "tiny", "fees")
    answer = client.chat.completions.create(model=model.id, messages=[{"role": "user", "content": "hello"}])
    trainer.flush()
    made_of = {edge.parent for edge in lineage.ancestors(trainer.db, "bank", answer.id)}
    assert {model.id, job.id, job.dataset, file.id} <= made_of


@pytest.mark.slow
def test_a_job_can_be_cancelled_and_another_runs(trainer: Any, wait: Wait) -> None:
    """One job runs at a time; a waiting one is cancelled at once, a running one soon, and stays so."""
    client = trainer.openai(trainer.key())
    file = upload(client, lines(200))
    long = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 50}}}
    first = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, method=long)
    second = client.fine_tuning.jobs.create(model="tiny", training_file=file.id, method=long)
    assert client.fine_tuning.jobs.cancel(second.id).status == "cancelled"
    wait(lambda: client.fine_tuning.jobs.retrieve(first.id).status == "running")
    client.fine_tuning.jobs.cancel(first.id)
    wait(lambda: client.fine_tuning.jobs.retrieve(first.id).status == "cancelled")
    assert client.fine_tuning.jobs.retrieve(first.id).fine_tuned_model is None
    assert [job.id for job in client.fine_tuning.jobs.list(limit=1)] == [second.id, first.id]


def test_keys_are_kept_hashed(gateway: Any) -> None:
    """The secret is nowhere in the home, its SHA-256 is what is looked up."""
    secret = gateway.key()
    kept = b"".join(path.read_bytes() for path in gateway.settings.root.rglob("*") if path.is_file())
    assert secret.encode() not in kept
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in kept
