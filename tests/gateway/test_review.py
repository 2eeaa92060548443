"""``/api/review`` as people use it: several annotators with keys, builders who run the queue, bad requests."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from tools.fuzz_api import REVIEWED

from feilun.records import Permissions, Record, Source
from feilun.store import datasets, keys, sources
from feilun.store.access import members

ROW = {"kind": "label", "row": {"text": "I am glad."}, "sources": ["source-a"], "options": ["good", "bad"]}
KEYS = {"id", "object", "queue", "kind", "row", "why", "options", "suggestion", "until"}


@pytest.fixture
def boss(gateway: Any) -> httpx.Client:
    """Give a client of a builder, in a workspace with the source ``source-a``."""
    found = gateway.http(gateway.key("bank", "builder"))
    sources.add(gateway.db, Source("source-a", "bank", "a.txt", "", 0), b"a")
    sources.add(gateway.db, Source("source-b", "bank", "b.txt", "", 0, permissions=Permissions(train=False)), b"b")
    return found


@pytest.fixture
def person(gateway: Any) -> Any:
    """Give a way to get a client of a new annotator, who is a member."""

    def make(name: str) -> httpx.Client:
        member = members.add(gateway.db, "bank", name, "annotator")
        _, secret = keys.create(gateway.db, "bank", name, "annotator", member.id)
        client = gateway.http(secret)
        gateway.wait(lambda: client.get("/v1/models").status_code == 200)
        return client

    return make


def add(boss: httpx.Client, *rows: dict[str, Any]) -> list[str]:
    """Put rows into the queue; return their ids."""
    answer = boss.post("/api/review/items", json={"items": list(rows)})
    assert answer.status_code == 201, answer.text
    return [one["id"] for one in answer.json()["data"]]


def take(client: httpx.Client) -> dict[str, Any] | None:
    """Return the next row of an annotator."""
    answer = client.post("/api/review/next", json={})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] | None = answer.json()["item"]
    return found


def say(client: httpx.Client, item: dict[str, Any] | None, value: str) -> httpx.Response:
    """Label the row that an annotator was given."""
    assert item is not None
    body = {"action": "label", "value": value, "seconds": 3}
    return client.post(f"/api/review/items/{item['id']}/decision", json=body)


def test_two_disagree_and_a_third_decides(boss: httpx.Client, person: Any, gateway: Any) -> None:
    """From the row to the dataset, with the agreement of those who decided."""
    (item,) = add(boss, {**ROW, "needed": 2, "why": "odd mood", "why_zh": "情绪奇怪"})
    ann, ben, cat = person("Ann"), person("Ben"), person("Cat")
    first, second = take(ann), take(ben)
    assert first is not None
    assert set(first) == KEYS
    assert (first["id"], first["why"], take(cat)) == (item, {"en": "odd mood", "zh": "情绪奇怪"}, None)
    assert take(ann) == first
    assert [say(ann, first, "good").status_code, say(ben, second, "bad").status_code] == [201, 201]
    assert boss.get(f"/api/review/items/{item}").json()["status"] == "disputed"
    assert say(cat, take(cat), "bad").json()["state"] == "decided"
    told = boss.get(f"/api/review/items/{item}").json()
    assert (told["status"], told["result"]["value"], told["result"]["how"]) == ("done", "bad", "majority")
    assert [one["decision"]["value"] for one in told["annotations"]] == ["good", "bad", "bad"]
    (agreed,) = boss.get("/api/review/agreement", params={"queue": "review"}).json()["data"]
    assert (agreed["rows"], agreed["people"], agreed["agreed"], agreed["alpha"]) == (1, 2, 0.0, 0.0)
    people = boss.get("/api/review/annotators").json()["data"]
    assert sorted(one["name"] for one in people) == ["Ann", "Ben", "Cat"]
    made = boss.post("/api/review/export", json={"dataset": "moods"})
    assert made.status_code == 201, made.text
    (record,) = datasets.read(gateway.db, "bank", made.json()["dataset"], "train")
    assert (record.text, record.meta["label"], record.sources) == ("I am glad.", "bad", ("source-a",))


def test_gold_does_not_show(boss: httpx.Client, person: Any) -> None:
    """To annotators a row that measures looks like any other; builders see its answer and how people do."""
    gold = {**ROW, "row": {"text": "Gold."}, "gold": {"action": "label", "value": "good"}}
    ids = add(boss, gold, ROW)
    ann = person("Ann")
    shapes = []
    for _ in ids:
        item = take(ann)
        assert item is not None
        assert set(item) == KEYS
        answer = say(ann, item, "bad").json()
        shapes.append({**answer, "item": "", "created_at": 0})
    assert shapes[0] == shapes[1]
    for path in ("items", f"items/{ids[0]}", "agreement", "annotators"):
        assert ann.get(f"/api/review/{path}").status_code == 403
    (found,) = boss.get("/api/review/annotators").json()["data"]
    assert (found["gold"], found["right"], found["accuracy"]) == (1, 0, 0.0)
    assert found["high"] == pytest.approx(0.7935, abs=0.0001)
    status = {one["id"]: one["status"] for one in boss.get("/api/review/items").json()["data"]}
    assert status == {ids[0]: "open", ids[1]: "done"}


def test_roles(gateway: Any, boss: httpx.Client, person: Any) -> None:
    """Viewers do nothing here; annotators decide; builders do the rest."""
    (item,) = add(boss, ROW)
    viewer, ann = gateway.http(gateway.key("bank", "viewer")), person("Ann")
    assert viewer.post("/api/review/next", json={}).status_code == 403
    assert ann.post("/api/review/items", json={"items": [ROW]}).status_code == 403
    assert ann.post("/api/review/export", json={"dataset": "x"}).status_code == 403
    assert ann.delete(f"/api/review/items/{item}").status_code == 403
    assert ann.post(f"/api/review/items/{item}/skip", json={}).status_code == 409
    assert take(ann) is not None
    assert ann.post(f"/api/review/items/{item}/skip", json={"reason": "hm"}).json()["state"] == "skipped"
    assert take(ann) is None
    assert boss.delete(f"/api/review/items/{item}").json()["deleted"]
    assert boss.get(f"/api/review/items/{item}").status_code == 404


def test_judgements_and_suggestions(gateway: Any, boss: httpx.Client) -> None:
    """A thumb down becomes a row to correct; what a model suggests is marked once a person accepts it."""
    asked = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "What is the fee?"}]}
    trace = boss.post("/v1/chat/completions", json=asked).json()["id"]
    gateway.flush()
    judged = boss.post("/api/feedback", json={"trace": trace, "thumb": "down"}).json()["id"]
    flagged = boss.post("/api/review/feedback", json={}).json()
    (row,) = flagged["data"]
    assert row["row"]["messages"][0]["content"] == "What is the fee?"
    assert boss.post("/api/review/feedback", json={"feedback": [judged]}).json()["data"][0]["id"] == row["id"]
    wanted = {"decision": {"action": "correct", "value": "Four crowns."}, "by": "model-x"}
    assert boss.put(f"/api/review/items/{row['id']}/suggestion", json=wanted).json()["status"] == "open"
    assert boss.post("/api/review/export", json={"dataset": "lessons"}).status_code == 400
    item = take(boss)
    assert item is not None
    assert item["suggestion"] == wanted
    said = boss.post(f"/api/review/items/{row['id']}/decision", json=wanted["decision"])
    assert said.json()["suggested"]
    made = boss.post("/api/review/export", json={"dataset": "lessons", "queue": "feedback"}).json()
    (record,) = datasets.read(gateway.db, "bank", made["dataset"], "train")
    assert record.messages[-1]["content"] == "Four crowns."
    assert record.meta["review"]["suggested_by"] == "model-x"
    above = boss.get(f"/api/lineage/{made['dataset']}").json()
    assert trace in str(above)
    assert judged in str(above)


def test_pages(boss: httpx.Client) -> None:
    """Page by page, by queue and status."""
    rows = [{**ROW, "row": {"text": f"Row {n}."}, "queue": f"q{n % 2}"} for n in range(5)]
    ids = add(boss, *rows)
    first = boss.get("/api/review/items", params={"limit": 2}).json()
    rest = boss.get("/api/review/items", params={"after": first["last_id"]}).json()
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert {one["id"] for one in first["data"] + rest["data"]} == set(ids)
    named = boss.get("/api/review/items", params={"queue": "q1", "status": "open"}).json()["data"]
    assert {one["id"] for one in named} == {ids[1], ids[3]}
    assert boss.get("/api/review/items", params={"after": "nothing"}).status_code == 404


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({**ROW, "sources": []}, 400),
        ({**ROW, "sources": ["source-x"]}, 404),
        ({**ROW, "options": ["good"]}, 400),
        ({**ROW, "gold": {"action": "label", "value": "sad"}}, 400),
        ({**ROW, "row": {"text": ""}}, 400),
        ({**ROW, "row": {"text": "x", "other": 1}}, 400),
        ({**ROW, "needed": 0}, 400),
        ({**ROW, "kind": "guess"}, 400),
    ],
)
def test_wrong_rows(boss: httpx.Client, row: dict[str, Any], status: int) -> None:
    """They are refused together with the good one beside them."""
    assert (
        boss.post("/api/review/items", json={"items": [REVIEWED | {"sources": ["source-a"]}, row]}).status_code
        == status
    )
    assert boss.get("/api/review/items").json()["data"] == []


def test_permissions_hold(boss: httpx.Client, gateway: Any) -> None:
    """What is made of a row that must not be trained on is not; without its source it is gone from view."""
    add(boss, {**ROW, "sources": ["source-b"]})
    assert say(boss, take(boss), "good").status_code == 201
    refused = boss.post("/api/review/export", json={"dataset": "moods"})
    assert refused.status_code == 400
    assert "1 may not" in refused.json()["error"]["message"]
    sources.delete(gateway.db, "bank", "source-b")
    (gone,) = boss.get("/api/review/items").json()["data"]
    assert (gone["status"], gone["row"]) == ("withdrawn", {})
    assert datasets.find(gateway.db, "bank") == []


def test_what_operators_flagged(boss: httpx.Client, gateway: Any) -> None:
    """The flagged records of a dataset version become rows, with their sources; another version is not found."""
    flags = [{"by": "contradictions", "why": "unknown", "detail": "two fees"}]
    record = Record("record-1", "passage", ("source-a",), text="The fee is four.", meta={"flags": flags})
    version, _ = datasets.write(gateway.db, "bank", "texts", [record], "train")
    (row,) = boss.post("/api/review/dataset", json={"dataset": version.id}).json()["data"]
    assert (row["sources"], row["kind"], row["queue"]) == (["source-a"], "accept", "flagged")
    assert "two fees" in row["why"]["zh"]
    assert boss.post("/api/review/dataset", json={"dataset": "dataset-x"}).status_code == 404
    assert boss.post("/api/review/dataset", json={"dataset": version.id, "kind": "label"}).status_code == 400
