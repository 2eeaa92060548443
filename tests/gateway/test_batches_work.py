"""The work of batches without a model: wrong lines, limits, failures, cancelling, and kill -9 in the middle."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.compute import run
from feilun.errors import BadRequest, BudgetExhausted, Cancelled, EngineDown, FeilunError, RateLimited
from feilun.gateway.surface.batch_lines import read_lines
from feilun.gateway.surface.batch_work import WINDOW_SECONDS, BatchWork
from feilun.records import JSON, Job, Permissions, Source, new_id
from feilun.store import Database, Journal, keys, open_database, sources, workspaces
from feilun.store.vault import contents

CHAT = "/v1/chat/completions"


def line(custom_id: Any, **more: Any) -> bytes:
    """Return a line of an input file."""
    whole = {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {"model": "m", "n": 1}, **more}
    return json.dumps(whole).encode()


@dataclass
class Place:
    """A home with a key, and one that answers lines and remembers which."""

    db: Database
    journal: Journal
    asked: list[str] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    answers: dict[str, list[FeilunError]] = field(default_factory=dict)
    hold: asyncio.Event | None = None
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, key: Any, body: JSON, headers: Any) -> JSON:
        """Answer a body, after the errors that are due for it."""
        assert key.workspace == "bank"
        name = body["messages"][0]["content"]
        self.asked.append(name)
        self.headers.append(headers)
        if self.answers.get(name):
            raise self.answers[name].pop(0)
        if self.hold is not None and len(self.asked) > 3:
            self.held.set()
            await self.hold.wait()
        return {"id": f"trace-{name}", "body": body, "usage": {"prompt_tokens": 2, "completion_tokens": 3}}

    def queue(self, data: bytes, created: float | None = None, **permissions: Any) -> Job:
        """Queue a batch over a file with this content."""
        source = Source(new_id("file"), "bank", "in.jsonl", "", 0, "upload", permissions=Permissions(**permissions))
        sources.add(self.db, source, data)
        key, _ = keys.create(self.db, "bank", "k", "builder")
        spec = {"input_file_id": source.id, "endpoint": CHAT, "key": key.id}
        job = Job(new_id("batch"), "bank", "batch", spec, created=created or time.time())
        return self.journal.create(job)

    async def work(self, job: Job, together: int = 4) -> JSON:
        """Run a batch to its end."""
        batch = BatchWork(self.db, self.journal, {CHAT: self.ask}, together, pause=0.0)
        return await run(self.journal, job.id, batch.run, locks=self.db.root / "locks")

    def file(self, identifier: str) -> list[JSON]:
        """Return the lines of a file that a batch wrote."""
        return [json.loads(each) for each in sources.content(self.db, "bank", identifier, "inspect").splitlines()]


def say(name: str) -> JSON:
    """Return a body that asks for an answer by this name."""
    return {"model": "m", "messages": [{"role": "user", "content": name}]}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a home with the workspace ``bank``."""
    db = open_database(tmp_path)
    workspaces.ensure(db, "bank")
    yield Place(db, Journal(db))
    db.close()


async def test_an_input_file_that_was_deleted_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted before the batch began, or just while it reads: the batch says so, and shows no path of ours."""
    before, while_it_reads = place.queue(line("a", body=say("one"))), place.queue(line("b", body=say("two")))
    sources.delete(place.db, "bank", before.spec["input_file_id"])
    read = contents.read

    def late(db: Database, ws: str, sha: str) -> bytes:
        sources.delete(db, ws, while_it_reads.spec["input_file_id"])
        return read(db, ws, sha)

    monkeypatch.setattr(contents, "read", late)
    for job in (before, while_it_reads):
        with pytest.raises(FeilunError) as told:
            await place.work(job)
        found = place.journal.get(job.id, "bank").error["error"]
        assert found["code"] == "input_file_deleted", told.value
        assert job.spec["input_file_id"] in found["message"]
        assert str(place.db.root) not in json.dumps(found)
    assert place.asked == []


async def test_lines_are_answered_and_bad_ones_are_told(place: Place) -> None:
    """Answers, refusals and lines that are no requests are in the files; counts and usage are those of the lines."""
    place.answers["refused"] = [BadRequest("No.", param="n")]
    data = b"\n".join(
        [
            line("a", body=say("one")),
            b"{nonsense",
            line("b", body=say("refused")),
            b"",
            line("c", url="/v1/embeddings"),
            line("d", body={**say("x"), "stream": True}),
            line("e", body=say("two")),
        ]
    )
    job = place.queue(data)
    result = await place.work(job)
    assert (result["completed"], result["failed"], result["expired"]) == (2, 4, 0)
    assert (result["usage"]["input_tokens"], result["usage"]["output_tokens"]) == (4, 6)
    good = {each["custom_id"]: each for each in place.file(result["output_file_id"])}
    assert set(good) == {"a", "e"}
    assert good["a"]["response"]["status_code"] == 200
    assert good["a"]["response"]["body"]["id"] == "trace-one"
    bad = place.file(result["error_file_id"])
    assert {each["custom_id"] for each in bad} == {None, "b", "c", "d"}
    refused = next(each for each in bad if each["custom_id"] == "b")
    assert (refused["response"]["status_code"], refused["response"]["body"]["error"]["param"]) == (400, "n")
    assert all(each["error"]["code"] == "invalid_line" for each in bad if each["custom_id"] != "b")
    assert sources.get(place.db, "bank", result["output_file_id"]).meta["purpose"] == "batch_output"
    steps = {name: output for name, _, output in place.journal.steps(job.id)}
    assert (steps["validate"]["total"], steps["validate"]["model"]) == (6, "m")
    assert list((place.db.root / "batches").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\n \n", "empty_file"),
        (b"\n".join([line("a"), line("b"), line("a")]), "duplicate_custom_id"),
        (b"\n".join([line("a"), line("a", url="/else")]), "duplicate_custom_id"),
        (b"\n".join(line(str(number)) for number in range(50_001)), "too_many_tasks"),
    ],
)
def test_files_that_cannot_be_a_batch_are_refused_with_a_code(data: bytes, code: str) -> None:
    """An empty file, one that names a request twice, and one that is too long fail as a whole."""
    with pytest.raises(BadRequest) as caught:
        read_lines(data, "batch-1", CHAT)
    assert caught.value.code == code


@given(st.binary(max_size=200))
def test_any_bytes_are_lines_or_told(data: bytes) -> None:
    """No content of a file makes anything but requests, error lines, or a refusal."""
    try:
        good, bad = read_lines(data, "batch-1", CHAT)
    except BadRequest:
        return
    assert len(good) + len(bad) == len([each for each in data.split(b"\n") if each.strip()])


async def test_limits_are_waited_for_and_engines_asked_again(place: Place) -> None:
    """A rate limit or a crash of the engine is not the end of a line; a spent budget is, and so is a lasting crash."""
    slow = RateLimited("Slow down.")
    slow.retry_after = 0.01
    place.answers = {
        "limited": [slow, slow],
        "crashed": [EngineDown("Down.")],
        "broken": [EngineDown("Down.") for _ in range(9)],
        "spent": [BudgetExhausted("Spent.")],
    }
    result = await place.work(place.queue(b"\n".join(line(name, body=say(name)) for name in place.answers)))
    assert {each["custom_id"] for each in place.file(result["output_file_id"])} == {"limited", "crashed"}
    bad = {each["custom_id"]: each["response"]["status_code"] for each in place.file(result["error_file_id"])}
    assert bad == {"broken": 503, "spent": 429}
    assert (place.asked.count("limited"), place.asked.count("spent"), place.asked.count("broken")) == (3, 1, 4)


async def test_what_a_file_forbids_goes_with_every_call(place: Place) -> None:
    """Calls name their source, so that it does not leave; what may not be trained on is asked with store: false."""
    await place.work(place.queue(line("a", body=say("one")), train=False))
    assert place.headers[0][b"x-feilun-sources"].startswith(b"file-")
    job = place.queue(line("a", body=say("two")), train=False)
    result = await place.work(job)
    assert place.file(result["output_file_id"])[0]["response"]["body"]["body"]["store"] is False
    assert not sources.get(place.db, "bank", result["output_file_id"]).permissions.train


async def test_a_batch_past_its_window_expires(place: Place) -> None:
    """Lines that were not asked within a day are told as expired and not asked."""
    job = place.queue(line("a", body=say("one")), created=time.time() - WINDOW_SECONDS - 1)
    result = await place.work(job)
    assert (result["expired"], place.asked) == (1, [])
    assert place.file(result["error_file_id"])[0]["error"]["code"] == "batch_expired"


async def test_a_revoked_key_answers_nothing(place: Place) -> None:
    """A batch is the call of its key: once that is revoked its lines are refused."""
    job = place.queue(line("a", body=say("one")))
    keys.revoke(place.db, "bank", job.spec["key"])
    result = await place.work(job)
    assert place.file(result["error_file_id"])[0]["response"]["status_code"] == 401
    assert place.asked == []


async def test_a_cancelled_batch_keeps_what_was_answered(place: Place) -> None:
    """Cancelling ends the calls under way; what was answered before is in the output file."""
    place.hold = asyncio.Event()
    job = place.queue(b"\n".join(line(f"c{number}", body=say(f"c{number}")) for number in range(9)))
    working = asyncio.create_task(place.work(job, 1))
    await place.held.wait()
    place.journal.request_cancel(job.id)
    with pytest.raises(Cancelled):
        await working
    written = place.journal.step(job.id, "write")
    assert (written["completed"], written["failed"], place.journal.get(job.id).status) == (3, 0, "cancelled")
    assert {each["custom_id"] for each in place.file(written["output_file_id"])} == {"c0", "c1", "c2"}


CHILD = """
import asyncio, sys
from pathlib import Path
from feilun.compute import run
from feilun.gateway.surface.batch_work import BatchWork
from feilun.store import Journal, open_database

async def ask(key, body, headers):
    await asyncio.sleep(0.01)
    return {"id": body["messages"][0]["content"]}

async def main():
    db = open_database(Path(sys.argv[1]))
    journal = Journal(db)
    work = BatchWork(db, journal, {"/v1/chat/completions": ask}, 4)
    await run(journal, sys.argv[2], work.run, locks=db.root / "locks")

asyncio.run(main())
"""


def test_a_killed_batch_asks_nothing_again_that_was_answered(place: Place) -> None:
    """After kill -9 in the middle, and a line cut short, the rest is asked and every line is in the output once."""
    names = [f"n{number}" for number in range(400)]
    job = place.queue(b"\n".join(line(name, body=say(name)) for name in names))
    output = place.db.root / "batches" / f"{job.id}.output.jsonl"
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(place.db.root), job.id]
    with subprocess.Popen(command) as child:
        while not output.is_file() or output.read_bytes().count(b"\n") < 20:
            assert child.poll() is None
            threading.Event().wait(0.02)
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    done = {
        json.loads(each)["custom_id"] for each in output.read_bytes().splitlines(keepends=True) if each[-1:] == b"\n"
    }
    assert 20 <= len(done) < 400
    with output.open("ab") as file:
        file.write(b'{"id": "batch_req-torn", "custom')
    result = asyncio.run(place.work(job))
    assert set(place.asked) == set(names) - done
    assert sorted(each["custom_id"] for each in place.file(result["output_file_id"])) == sorted(names)
    assert (result["completed"], result["error_file_id"]) == (400, None)
