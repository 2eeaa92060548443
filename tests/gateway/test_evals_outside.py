"""Evals of endpoints and of providers' models: on the way of every call, and what cost-aware routes make of them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import uvloop
from tests.gateway.criteria import HOLDS

from feilun.compute import run
from feilun.errors import BudgetExhausted, ModelNotFound, Unauthorized, UpstreamError
from feilun.gateway.hotpath.routes import alone
from feilun.gateway.serve import bind
from feilun.gateway.sitting import CALLS, Sitter
from feilun.records import JSON, Endpoint, Job, Limit, Provider, Target, new_id
from feilun.serving.fake_provider import FakeProvider
from feilun.settings import Settings, load
from feilun.store import evals, keys, traces
from feilun.store.access import endpoints, limits, providers
from feilun.store.calls import usage

SECRET = "The night safe behind the pharmacy opens with the old key of the boathouse."
GOES_ON = "ten one"  # what only a provider's model says that does not stop at ten
TEMPLATE = {"type": "template", "template": [{"role": "user", "content": "Count: {{ item.question }}"}]}
ROWS = [{"item": {"question": f"to {number}", "answer": GOES_ON}} for number in range(4)]


@dataclass
class House:
    """A gateway, two providers that it may call, and an owner's client."""

    gateway: Any
    fakes: dict[str, FakeProvider]
    client: openai.OpenAI
    settings: Settings
    exam: str = ""

    def route(self, name: str, *targets: Target, **more: Any) -> None:
        """Set up an endpoint."""
        endpoints.put(self.gateway.db, Endpoint(new_id("endpoint"), "bank", name, targets, **more))
        self.know(lambda state: (found := state.snapshot.endpoint("bank", name)) and found[0].targets == targets)

    def know(self, so: Callable[[Any], object]) -> None:
        """Wait until the gateway knows something."""
        self.gateway.wait(lambda: so(self.gateway.state))

    def begin(self, model: str, rows: list[JSON] | None = None, **more: Any) -> str:
        """Begin a run; return its id."""
        given = {"type": "file_content", "content": rows or ROWS}
        source = {
            "type": "completions",
            "source": given,
            "input_messages": TEMPLATE,
            "model": model,
            "sampling_params": {"max_completion_tokens": 20},
            **more,
        }
        return str(self.client.evals.runs.create(self.exam, data_source=source).id)

    def sat(self, run_id: str) -> Any:
        """Return a run once it has ended."""
        found: list[Any] = []

        def ended() -> bool:
            found[:] = [self.client.evals.runs.retrieve(run_id, eval_id=self.exam)]
            return found[0].status not in {"queued", "in_progress"}

        self.gateway.wait(ended)
        return found[0]

    def score(self, model: str) -> float:
        """Return what cost-aware routes know of a model; -1 is nothing."""
        return float(self.gateway.state.snapshot.scores("bank").get((self.exam, model), -1))

    def takes(self, endpoint: str) -> str:
        """Return what answers a call to an endpoint, as ``provider/model``."""
        before = {name: fake.counted.calls for name, fake in self.fakes.items()}
        self.client.chat.completions.create(model=endpoint, messages=[{"role": "user", "content": "Count."}])
        asked = [name for name, fake in self.fakes.items() if fake.counted.calls > before[name]]
        return f"{asked[0]}/{self.fakes[asked[0]].counted.bodies[-1]['model']}"

    def asked(self, name: str) -> list[str]:
        """Return the texts that a provider was sent."""
        return [message["content"] for body in self.fakes[name].counted.bodies for message in body["messages"]]

    def soon(self, work: Coroutine[Any, Any, JSON]) -> Future[JSON]:
        """Run something in the gateway's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.gateway.loop)

    def job(self, model: str, rows: list[JSON], key: str) -> Job:
        """Queue a run that the gateway's own runner leaves alone."""
        source = {
            "type": "completions",
            "source": {"type": "file_content", "content": rows},
            "input_messages": TEMPLATE,
        }
        meta = {"data_source": source, "model": model}
        spec = {"eval": self.exam, "version": model, "called": model, "key": key, "meta": meta}
        return self.gateway.state.journal.create(Job(new_id("trial"), "bank", "trial", spec))

    def work(self, job: Job) -> JSON:
        """Do the work of such a run, which does not pause between tries."""
        state = self.gateway.state
        sitter = Sitter(state.db, state.answering, state.hotpath, 8, pause=0.0)
        return self.soon(run(state.journal, job.id, sitter.sit, locks=state.db.root / "locks")).result(60)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings that permit a provider on this machine."""
    given = {"home": str(tmp_path / "home"), "engine": "fake", "private_hosts": "127.0.0.1"}
    return load(environment={}, given=given)


@pytest.fixture
def outside() -> Iterator[dict[str, tuple[FakeProvider, int]]]:
    """Give two providers on loopback ports, in a thread of their own, with their ports."""
    fakes = {name: FakeProvider() for name in ("low", "high")}
    listeners = {name: bind("127.0.0.1", 0) for name in fakes}
    servers = {name: fake.server() for name, fake in fakes.items()}
    ready = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serving() -> None:
        loops.append(asyncio.get_running_loop())
        ready.set()
        await asyncio.gather(*(servers[name].serve(listeners[name]) for name in fakes))

    thread = threading.Thread(target=lambda: uvloop.run(serving()), name="providers")
    thread.start()
    ready.wait()
    yield {name: (fake, listeners[name].getsockname()[1]) for name, fake in fakes.items()}
    for server in servers.values():
        asyncio.run_coroutine_threadsafe(server.close(1), loops[0]).result(10)
    thread.join(10)
    for listener in listeners.values():
        listener.close()


@pytest.fixture
def house(gateway: Any, outside: dict[str, tuple[FakeProvider, int]], settings: Settings) -> House:
    """Give all of it, with an exam that only ``words-long`` passes."""
    client = gateway.openai(gateway.key())
    for name, (_, port) in outside.items():
        url = f"http://127.0.0.1:{port}/v1"
        providers.put(gateway.db, Provider(new_id("provider"), "bank", name, "openai", url), f"sk-{name}")
    config = {"type": "custom", "item_schema": {"type": "object", "required": ["question", "answer"]}}
    exam = client.evals.create(name="counting", data_source_config=config, testing_criteria=[HOLDS]).id
    return House(gateway, {name: fake for name, (fake, _) in outside.items()}, client, settings, exam)


CHEAP = Target("words", "low", price_in=1, price_out=1)
MIDDLE = Target("words-long", "low", price_in=5, price_out=5)
DEAR = Target("words-long", "high", price_in=1, price_out=90)  # its answers are what costs


def test_the_cheapest_that_passes_its_exam_is_taken(house: House) -> None:
    """Results of runs rank providers' models at once: below the bar is passed over, and a cheaper one that passes wins.

    A run that is deleted takes its score along.
    """
    house.route("count", CHEAP, MIDDLE, DEAR, policy="cheapest", exam=house.exam, bar=0.8)
    runs = {model: house.begin(model) for model in ("low/words", "high/words-long")}
    found = {model: house.sat(run_id) for model, run_id in runs.items()}
    assert [one.status for one in found.values()] == ["completed", "completed"]
    assert (found["low/words"].model, found["low/words"].result_counts.passed) == ("low/words", 0)
    assert found["high/words-long"].result_counts.passed == len(ROWS)
    house.know(lambda _: (house.score("low/words"), house.score("high/words-long")) == (0.0, 1.0))
    assert house.takes("count") == "high/words-long"
    third = house.begin("low/words-long")
    assert house.sat(third).result_counts.passed == len(ROWS)
    house.know(lambda _: house.score("low/words-long") == 1.0)
    assert house.takes("count") == "low/words-long"
    house.client.evals.runs.delete(third, eval_id=house.exam)
    house.know(lambda _: house.score("low/words-long") == -1)
    assert house.takes("count") == "high/words-long"


def test_questions_are_greedy_paid_for_and_never_learned(house: House) -> None:
    """Providers are asked greedily; usage has every call at the target's price; no trace of it may be trained on."""
    house.route("count", MIDDLE)
    found = house.sat(house.begin("low/words-long", sampling_params={}))
    for body in house.fakes["low"].counted.bodies:
        assert (body["temperature"], body["seed"], body["max_tokens"], "metadata" in body) == (0.0, 0, 512, False)
    house.gateway.flush()
    counted, told = house.fakes["low"].counted, found.per_model_usage[0]
    assert (told.invocation_count, told.total_tokens) == (4, counted.prompt_tokens + counted.completion_tokens)
    (row,) = usage.report(house.gateway.db, "bank", by=("endpoint", "kind"))
    assert (row["endpoint"], row["kind"], row["calls"], row["cost"]) == (
        "low/words-long",
        "eval",
        4,
        5 * told.total_tokens,
    )
    kept = traces.find(house.gateway.db, "bank")
    assert len(kept) == 4
    assert not any(trace.permissions.train for trace in kept)


def test_an_endpoint_is_examined_as_it_answers(house: House) -> None:
    """Calls go to its targets, fall back, and score none of them: nobody knows which of them answered well."""
    house.route("mixed", Target("words-500", "low"), Target("words-long", "high", weight=0))
    house.route("count", MIDDLE, DEAR, policy="cheapest", exam=house.exam, bar=0.8)
    found = house.sat(house.begin("mixed"))
    assert (found.status, found.model, found.result_counts.passed) == ("completed", "mixed", 4)
    assert found.model_version.startswith("endpoint-")
    assert house.fakes["high"].counted.calls == 4
    assert house.score("high/words-long") == -1


def test_private_texts_are_not_sent_outside(house: House) -> None:
    """A question that quotes a private file, inside a template's sentence, gets the refusal as its error."""
    house.route("count", MIDDLE)
    lines = [{"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": SECRET}]}]
    data = "\n".join(map(json.dumps, lines)).encode()
    house.client.files.create(file=("keys.jsonl", data), purpose="fine-tune")
    house.know(lambda state: state.snapshot.private("bank").texts)
    rows = [*ROWS[:2], {"item": {"question": SECRET, "answer": "one"}}]
    run_id = house.begin("low/words-long", rows)
    counts = house.sat(run_id).result_counts
    assert (counts.total, counts.passed, counts.errored) == (3, 2, 1)
    (refused,) = house.client.evals.runs.output_items.list(run_id, eval_id=house.exam, status="error").data
    assert refused.sample.error.code == "data_must_not_leave"
    assert sorted(house.asked("low")) == ["Count: to 0", "Count: to 1"]


def test_a_file_that_must_not_leave_is_no_exam_for_a_provider(house: House) -> None:
    """Every row of it is refused, whatever its text; so is every row of a run whose metadata says so."""
    house.route("count", MIDDLE)
    data = "\n".join(map(json.dumps, ROWS)).encode()
    file = house.client.files.create(file=("rows.jsonl", data), purpose="evals")
    house.know(lambda state: file.id in state.snapshot.private("bank").sources)
    source = {
        "type": "completions",
        "source": {"type": "file_id", "id": file.id},
        "input_messages": TEMPLATE,
        "model": "low/words-long",
    }
    first = house.client.evals.runs.create(house.exam, data_source=source).id
    source["source"] = {"type": "file_content", "content": ROWS}
    stays = house.client.evals.runs.create(house.exam, data_source=source, metadata={"feilun_leave": "no"}).id
    assert [house.sat(run_id).result_counts.errored for run_id in (first, stays)] == [4, 4]
    assert house.fakes["low"].counted.calls == 0


def test_a_run_whose_budget_is_spent_goes_on_when_there_is_more(house: House) -> None:
    """It ends without a score, keeps what was answered, and asks nothing twice; nothing is overspent."""
    house.route("count", MIDDLE, DEAR, policy="cheapest", exam=house.exam, bar=0.8)
    rows = [{"item": {"question": f"to {number}", "answer": "one"}} for number in range(3 * CALLS)]
    key, _ = keys.create(house.gateway.db, "bank", "k", "builder")
    job = house.job("low/words-long", rows, key.id)
    limit = Limit(new_id("limit"), "bank", "key", key.id, tokens_per_day=12_000)
    limits.put(house.gateway.db, limit)
    house.know(lambda state: state.hotpath.ledger.account(("bank", "key", key.id)).limit is not None)
    with pytest.raises(BudgetExhausted):
        house.work(job)
    counted = house.fakes["low"].counted
    answered = evals.answers(house.gateway.db, "bank", job.id)
    assert 0 < len(answered) == counted.calls < len(rows)
    assert counted.prompt_tokens + counted.completion_tokens <= 12_000
    assert house.score("low/words-long") == -1
    limits.remove(house.gateway.db, "bank", limit.id)
    house.know(lambda state: state.hotpath.ledger.account(("bank", "key", key.id)).limit is None)
    assert house.work(job)["passed"] == len(rows) == counted.calls
    house.know(lambda _: house.score("low/words-long") == 1.0)


def test_a_run_goes_on_after_a_restart(house: House, serve: Callable[[Settings], Iterator[Any]]) -> None:
    """What was answered is not asked again, but for the calls that were on their way."""
    house.route("count", MIDDLE)
    house.fakes["low"].pause = 0.02
    rows = [{"item": {"question": f"to {number}", "answer": GOES_ON}} for number in range(4 * CALLS)]
    run_id = house.begin("low/words-long", rows)
    house.gateway.wait(lambda: evals.answers(house.gateway.db, "bank", run_id))
    house.gateway.stop()
    house.gateway.server = None  # it has ended
    done = len(evals.answers(house.gateway.db, "bank", run_id))
    assert 0 < done < len(rows)
    house.fakes["low"].pause = 0.0
    for again in serve(house.settings):
        client = again.openai(again.key())
        again.wait(lambda client=client: client.evals.runs.retrieve(run_id, eval_id=house.exam).status == "completed")
        counts = client.evals.runs.retrieve(run_id, eval_id=house.exam).result_counts
        assert (counts.total, counts.passed) == (len(rows), len(rows))
    assert len(rows) <= house.fakes["low"].counted.calls <= len(rows) + CALLS


def test_a_provider_that_fails_is_not_marked(house: House) -> None:
    """The run fails with what the provider said, not with what its circuit says; an earlier score stays."""
    house.route("count", MIDDLE, Target("words-500", "low"), policy="cheapest", exam=house.exam, bar=0.8)
    key, _ = keys.create(house.gateway.db, "bank", "k", "builder")
    with pytest.raises(UpstreamError, match="told to answer 500"):
        house.work(house.job("low/words-500", ROWS, key.id))
    assert house.score("low/words-500") == -1
    refused = house.job("low/words-404", ROWS, key.id)
    with pytest.raises(ModelNotFound):
        house.work(refused)


def test_a_revoked_key_ends_its_runs(house: House) -> None:
    """Nothing is asked in the name of a key that is no more."""
    house.route("count", MIDDLE)
    key, _ = keys.create(house.gateway.db, "bank", "k", "builder")
    keys.revoke(house.gateway.db, "bank", key.id)
    with pytest.raises(Unauthorized):
        house.work(house.job("low/words-long", ROWS, key.id))
    assert house.fakes["low"].counted.calls == 0


def test_what_may_not_be_asked(house: House) -> None:
    """Only runs name a provider's model, only one that an endpoint has a price for, and only with a key for calls."""
    house.route("count", MIDDLE)
    for model in ("low/words", "high/words-long", "none/words-long"):
        with pytest.raises(openai.NotFoundError):
            house.begin(model)
    with pytest.raises(openai.NotFoundError):
        house.client.chat.completions.create(model="low/words-long", messages=[{"role": "user", "content": "Hi"}])
    _, secret = keys.create(house.gateway.db, "bank", "data", "builder", scopes=("data",))
    house.know(lambda state: state.snapshot.key(secret))
    house.client = house.gateway.openai(secret)
    with pytest.raises(openai.PermissionDeniedError):
        house.begin("low/words-long")
    assert house.fakes["low"].counted.calls == 0


def test_a_model_alone_has_the_highest_of_its_prices() -> None:
    """An exam must not be cheaper for a budget than the model may be; nothing else of the endpoint is left."""
    first = Endpoint("endpoint-1", "bank", "a", (CHEAP, MIDDLE), ("b",), policy="cheapest", exam="x")
    second = Endpoint("endpoint-2", "bank", "b", (Target("words-long", "low", weight=0, price_out=7),))
    found = alone([first, second], "low/words-long")
    assert found is not None
    assert (found.name, found.targets[0].price_out, found.targets[0].weight) == ("low/words-long", 7, 1.0)
    cheap = alone([first, second], "low/words")
    assert cheap is not None
    assert (cheap.targets, cheap.fallback, cheap.policy) == ((CHEAP,), (), "weighted")
    assert alone([first, second], "words") is None
