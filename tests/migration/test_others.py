"""What TensorZero, Langfuse and Kiln give away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.migration.exports import (
    TOML,
    kiln_project,
    openai_export,
    tensorzero_rows,
    write_csv,
    write_json,
    write_lines,
    write_parquet,
)

from feilun.errors import BadRequest
from feilun.migration import bring, home_of
from feilun.records import Trace
from feilun.store import Database, datasets, evals, feedback, sources, traces

Writer = Callable[[Path, list[dict[str, Any]]], Path]


def by_origin(db: Database) -> dict[str, Trace]:
    """Return the traces of the workspace by the ids that they had."""
    return {trace.meta["imported"]["id"]: trace for trace in traces.find(db, "harbour", -1, 1000)}


@pytest.mark.parametrize(("ending", "writer"), [("jsonl", write_lines), ("csv", write_csv), ("parquet", write_parquet)])
def test_tensorzero(db: Database, tmp_path: Path, ending: str, writer: Writer) -> None:
    """Tables in any form: calls, judgements by what the configuration says about metrics, datapoints."""
    for table, rows in tensorzero_rows().items():
        writer(tmp_path / "t" / f"{table}.{ending}", rows)
    (tmp_path / "t" / "tensorzero.toml").write_text(TOML, encoding="utf-8")
    assert home_of([tmp_path / "t"]) == "tensorzero"
    report = bring(db, "harbour", "tensorzero", [tmp_path / "t"])
    assert report.added == {"calls": 4, "datasets": 1, "files": 2, "judgements": 6, "rows": 1}
    calls = by_origin(db)
    first = calls["0190a000-0000-7000-8000-000000000000"]
    assert [message["content"] for message in first.messages] == ["You know ferries.", "Question 0?"]
    assert (first.answer, first.endpoint, first.model) == ("Answer 0.", "ferry_help", "tensorzero/baseline")
    assert first.created == pytest.approx(1_719_000_000, rel=0.02)
    assert first.meta["imported"]["fields"] == {"snapshot_hash": "abc"}
    assert calls["0190a000-0000-7000-8000-000000000007"].answer == '{"pier":3}'
    said = {(one.comment or one.correction): one for one in feedback.find(db, "harbour", -1)}
    assert said["solved"].thumb == 1
    assert said["escalated"].thumb == -1  # the less the better
    assert said["rating"].score == 0.25
    assert said["rating"].trace == calls["0190a000-0000-7000-8000-000000000002"].id  # the episode's last call
    assert said["elapsed_ms: 1500"].score is None
    assert said["At nine."].correction == "At nine."
    (version,) = datasets.find(db, "harbour", "tensorzero/golden")
    (record,) = datasets.read(db, "harbour", version.id, "train")
    assert record.messages[-1]["content"] == "By the lighthouse."
    reasons = " ".join(reason for _, reason in report.left_out)
    assert "is not in this import" in reasons
    assert "without an output" in reasons
    assert "set it up here by hand" in reasons
    assert bring(db, "harbour", "tensorzero", [tmp_path / "t"]).added == {}


def test_judgements_may_come_after_their_calls(db: Database, tmp_path: Path) -> None:
    """An export in two parts is the same as one."""
    rows = tensorzero_rows()
    write_lines(tmp_path / "a" / "calls.jsonl", rows["ChatInference"])
    write_lines(tmp_path / "b" / "said.jsonl", rows["DemonstrationFeedback"])
    bring(db, "harbour", "tensorzero", [tmp_path / "a"])
    report = bring(db, "harbour", "tensorzero", [tmp_path / "b"])
    assert report.added == {"judgements": 1}
    assert report.left_out == []


WHEN = "2026-03-01T09:00:00.000Z"


def _scored(
    number: int, trace: str, name: str, value: float | None, kind: str, text: str | None = None
) -> dict[str, Any]:
    about = {"id": f"s{number}", "traceId": trace, "name": name, "value": value, "stringValue": text}
    return {**about, "dataType": kind, "source": "API", "timestamp": WHEN}


def _traced(key: str, name: str, asked: Any, said: Any) -> dict[str, Any]:
    return {"id": key, "timestamp": WHEN, "name": name, "input": asked, "output": said, "userId": "u"}


def _observed(key: str, trace: str, kind: str, asked: Any, said: str) -> dict[str, Any]:
    about = {"id": key, "traceId": trace, "type": kind, "startTime": WHEN, "model": "gpt-5"}
    return {**about, "input": asked, "output": said, "usageDetails": {"input": 7, "output": 2}}


def langfuse_rows() -> dict[str, list[dict[str, Any]]]:
    """Return rows as Langfuse's API gives them."""
    item = {"datasetId": "d", "datasetName": "piers", "status": "ACTIVE", "metadata": {"level": 2}, "createdAt": WHEN}
    me = {"role": "assistant", "content": "Me."}
    return {
        "items": [
            {**item, "id": "i1", "input": {"question": "Where?"}, "expectedOutput": "Here.", "mood": "calm"},
            {**item, "id": "i2", "input": [{"role": "user", "content": "Who?"}], "expectedOutput": me},
            {**item, "id": "i3", "input": "Old?", "expectedOutput": "Yes.", "status": "ARCHIVED"},
        ],
        "traces": [
            _traced("t1", "chat", {"messages": [{"role": "user", "content": "Hi?"}]}, {**me, "content": "Hello."}),
            _traced("t2", "chat", None, None),
            _traced("t3", "cron", None, None),
        ],
        "observations": [
            _observed("o1", "t2", "GENERATION", [{"role": "user", "content": "Fee?"}], "Four."),
            _observed("o2", "t2", "SPAN", "x", "y"),
            _observed("o3", "t9", "GENERATION", "Alone?", "Yes."),
        ],
        "scores": [
            _scored(1, "t1", "thumb", 1, "BOOLEAN"),
            _scored(2, "t2", "quality", 0.25, "NUMERIC"),
            _scored(3, "t2", "stars", 4, "NUMERIC"),
            _scored(4, "t1", "tone", None, "CATEGORICAL", "warm"),
            _scored(5, "gone", "thumb", 0, "BOOLEAN"),
            _scored(6, "t2", "fix", 0, "CORRECTION", "Five."),
        ],
    }


@pytest.mark.parametrize(("ending", "writer"), [("json", write_json), ("jsonl", write_lines), ("csv", write_csv)])
def test_langfuse(db: Database, tmp_path: Path, ending: str, writer: Writer) -> None:
    """Traces with their generations, scores of every type, items of a dataset; JSON, JSON lines, CSV."""
    for name, rows in langfuse_rows().items():
        names = list(dict.fromkeys(key for row in rows for key in row))
        writer(tmp_path / "l" / f"{name}.{ending}", [{key: row.get(key) for key in names} for row in rows])
    assert home_of([tmp_path / "l"]) == "langfuse"
    report = bring(db, "harbour", "langfuse", [tmp_path / "l"])
    assert report.added == {"calls": 3, "datasets": 1, "files": 1, "judgements": 5, "rows": 2}
    calls = by_origin(db)
    assert (calls["t1"].messages[-1]["content"], calls["t1"].answer) == ("Hi?", "Hello.")
    assert (calls["t2"].messages[-1]["content"], calls["t2"].answer, calls["t2"].model) == (
        "Fee?",
        "Four.",
        "langfuse/gpt-5",
    )
    assert calls["t9"].answer == "Yes."
    said = [(one.thumb, one.score, one.correction, one.comment) for one in feedback.find(db, "harbour", -1)]
    assert sorted(said, key=str) == sorted(
        [
            (1, None, "", "thumb"),
            (None, 0.25, "", "quality"),
            (None, None, "", "stars: 4"),
            (None, None, "", "tone: warm"),
            (None, None, "Five.", "fix"),
        ],
        key=str,
    )
    (version,) = datasets.find(db, "harbour", "langfuse/piers")
    rows = datasets.read(db, "harbour", version.id, "train")
    assert sorted((row.messages[0]["content"], row.messages[1]["content"]) for row in rows) == [
        ("Where?", "Here."),
        ("Who?", "Me."),
    ]
    assert report.unknown["item"] == ["mood"]
    assert {reason for _, reason in report.left_out} >= {"this item was archived there", "a trace that asks nothing"}
    assert any("gone" in reason for _, reason in report.left_out)
    assert bring(db, "harbour", "langfuse", [tmp_path / "l"]).added == {}


def test_kiln(db: Database, tmp_path: Path) -> None:
    """Runs with ratings and repairs, the split's datasets, an eval with the judge that can be one here."""
    folder = kiln_project(tmp_path / "k")
    assert home_of([folder]) == "kiln"
    report = bring(db, "harbour", "kiln", [folder])
    assert report.added == {"calls": 4, "datasets": 2, "evals": 1, "files": 2, "judgements": 4, "rows": 2}
    calls = by_origin(db)
    assert [message["content"] for message in calls["r2"].messages] == ["Say the pier.", "Boat r2?"]
    assert calls["r4"].meta["imported"]["fields"] == {"surprising": {"a": 1}}
    scores = {one.trace: one.score for one in feedback.find(db, "harbour", -1) if one.score is not None}
    assert [scores.get(calls[key].id) for key in ("r1", "r2", "r3", "r4")] == [1.0, 0.25, 0.0, None]
    (fixed,) = [one for one in feedback.find(db, "harbour", -1) if one.correction]
    assert (fixed.correction, fixed.comment, fixed.trace) == ("Pier 2.", "Digits.", calls["r2"].id)
    (train,) = datasets.find(db, "harbour", "kiln/Pier Finder/Half/train")
    (test,) = datasets.find(db, "harbour", "kiln/Pier Finder/Half/test")
    assert datasets.read(db, "harbour", train.id, "train")[0].messages[-1]["content"] == "Pier 1."
    assert datasets.read(db, "harbour", test.id, "train")[0].messages[-1]["content"] == "Pier 2."
    (exam,) = evals.find(db, "harbour")
    assert exam.meta["testing_criteria"][0]["reference"] == "{{ item.pier }}"
    assert [one["type"] for one in exam.meta["testing_criteria"]] == ["string_check", "regex"]
    reasons = " ".join(f"{place} {reason}" for place, reason in report.left_out)
    for told in ("r5", "test: r3", "g_eval", "prompt"):
        assert told in reasons
    assert bring(db, "harbour", "kiln", [folder]).added == {}


def test_rows_become_files_to_train_on(db: Database, tmp_path: Path) -> None:
    """A dataset can be trained on through the API at once: a fine-tuning file of its lines."""
    write_json(tmp_path / "l" / "items.json", langfuse_rows()["items"])
    report = bring(db, "harbour", "langfuse", [tmp_path / "l"])
    source = sources.get(db, "harbour", report.ids["langfuse/piers"])
    assert (source.origin, source.meta["purpose"], source.name) == ("upload", "fine-tune", "langfuse-piers.jsonl")
    assert sources.content(db, "harbour", source.id, "train").count(b'{"messages"') == 2


def test_ordinary_files_are_no_export(tmp_path: Path) -> None:
    """A price list, chats to train on, a note beside an export: nothing is taken for what it is not."""
    write_csv(
        tmp_path / "o" / "prices.csv", [{"id": "1", "name": "rope", "created_at": "2026-01-01", "description": "x"}]
    )
    assert home_of([tmp_path / "o"]) == ""
    write_lines(tmp_path / "c" / "chats.jsonl", [{"messages": [{"role": "user", "content": "x"}]}])
    assert home_of([tmp_path / "c"]) == ""
    write_json(tmp_path / "l" / "items.json", langfuse_rows()["items"])
    assert home_of([tmp_path / "l"]) == "langfuse"
    (tmp_path / "l" / "handbook.md").write_text("# Handbook", encoding="utf-8")
    assert home_of([tmp_path / "l"]) == ""
    openai_export(tmp_path / "both")
    write_json(tmp_path / "both" / "items2.json", langfuse_rows()["items"])
    with pytest.raises(BadRequest):
        home_of([tmp_path / "both"])
