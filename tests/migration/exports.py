"""Exports as other systems give them away: small ones, written for these tests."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

JSON = dict[str, Any]
ITEM = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "right": {"type": "string"}},
    "required": ["question", "right"],
}
GRADERS: list[JSON] = [
    {
        "type": "string_check",
        "name": "same",
        "input": "{{ sample.output_text }}",
        "reference": "{{ item.right }}",
        "operation": "ilike",
    },
    {
        "type": "text_similarity",
        "name": "near",
        "input": "{{ sample.output_text }}",
        "reference": "{{ item.right }}",
        "evaluation_metric": "fuzzy_match",
        "pass_threshold": 0.4,
    },
    {
        "type": "python",
        "name": "short",
        "source": "def grade(sample, item):\n    return 1.0 if len(sample['output_text']) < 500 else 0.0\n",
        "pass_threshold": 0.5,
    },
    {
        "type": "score_model",
        "name": "polite",
        "model": "gpt-5-mini",
        "input": [{"role": "user", "content": "Rate from 0 to 1: {{ sample.output_text }}"}],
        "range": [0, 1],
        "pass_threshold": 0.5,
    },
    {
        "type": "label_model",
        "name": "tone",
        "model": "gpt-5-mini",
        "input": [{"role": "user", "content": "Is this friendly? {{ sample.output_text }}"}],
        "labels": ["friendly", "rude"],
        "passing_labels": ["friendly"],
    },
]


def write_lines(path: Path, rows: list[JSON]) -> Path:
    """Write JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_json(path: Path, value: Any) -> Path:
    """Write one JSON value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2), encoding="utf-8")
    return path


def write_csv(path: Path, rows: list[JSON]) -> Path:
    """Write a CSV file; what is no text is written as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in row.items()})
    return path


def write_parquet(path: Path, rows: list[JSON]) -> Path:
    """Write a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A column of maps without a key, which is what most have, has no type of its own.
    flat = [{k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()} for row in rows]
    pq.write_table(pa.Table.from_pylist(flat), path)
    return path


def eval_object(key: str = "eval_68a1", criteria: list[JSON] | None = None, **more: Any) -> JSON:
    """Return an eval as the API retrieves it."""
    schema = {
        "type": "object",
        "properties": {"item": ITEM, "sample": {"type": "object"}},
        "required": ["item", "sample"],
    }
    return {
        "object": "eval",
        "id": key,
        "name": "ferry questions",
        "created_at": 1_755_000_000,
        "metadata": {"team": "harbour"},
        "data_source_config": {"type": "custom", "schema": schema},
        "testing_criteria": GRADERS if criteria is None else criteria,
        **more,
    }


def run_object(key: str = "evalrun_77b", total: int = 2, **more: Any) -> JSON:
    """Return a run as the API retrieves it."""
    return {
        "object": "eval.run",
        "id": key,
        "eval_id": "eval_68a1",
        "name": "july",
        "created_at": 1_755_000_100,
        "model": "gpt-5-mini",
        "status": "completed",
        "data_source": {"type": "completions", "model": "gpt-5-mini", "source": {"type": "file_id", "id": "file-x"}},
        "metadata": {},
        "error": None,
        "result_counts": {"total": total, "passed": 1, "failed": 1, "errored": 0},
        "per_testing_criteria_results": [],
        "per_model_usage": [],
        "report_url": "https://platform.example/evals",
        **more,
    }


def output_items(run: str = "evalrun_77b") -> JSON:
    """Return a page of a run's answers."""
    said = [("When does the ferry leave?", "At noon.", True), ("Which pier?", "The south pier.", False)]
    return {
        "object": "list",
        "data": [
            {
                "object": "eval.run.output_item",
                "id": f"outputitem_{n}",
                "run_id": run,
                "eval_id": "eval_68a1",
                "created_at": 1_755_000_200 + n,
                "status": "pass" if passed else "fail",
                "datasource_item_id": n,
                "datasource_item": {"question": question, "right": "noon"},
                "results": [{"name": "same", "passed": passed, "score": float(passed), "novel": 3}],
                "sample": {
                    "input": [{"role": "user", "content": question}],
                    "output": [{"role": "assistant", "content": answer}],
                    "finish_reason": "stop",
                    "model": "gpt-5-mini-2025-08-07",
                    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13, "cached_tokens": 0},
                    "error": None,
                    "temperature": 1.0,
                },
            }
            for n, (question, answer, passed) in enumerate(said)
        ],
        "has_more": False,
    }


def chats(count: int = 12) -> list[JSON]:
    """Return lines of supervised training."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"When does ferry {n} leave?"},
                {"role": "assistant", "content": f"Ferry {n} leaves at {n} o'clock."},
            ]
        }
        for n in range(count)
    ]


def openai_export(folder: Path) -> Path:
    """Write an export of OpenAI's: evals, a run with its answers, files to train on, a job."""
    write_json(folder / "evals.json", {"object": "list", "data": [eval_object(shiny=True)], "has_more": False})
    write_json(folder / "run.json", run_object())
    write_json(folder / "items.json", output_items())
    write_lines(folder / "file-AbC123def.jsonl", chats())
    preferred = [
        {
            "input": {"messages": [{"role": "user", "content": f"Greet guest {n}."}]},
            "preferred_output": [{"role": "assistant", "content": f"Welcome aboard, guest {n}!"}],
            "non_preferred_output": [{"role": "assistant", "content": "What?"}],
        }
        for n in range(10)
    ]
    write_lines(folder / "pairs.jsonl", preferred)
    job = {
        "object": "fine_tuning.job",
        "id": "ftjob-9k2",
        "model": "gpt-4o-mini-2024-07-18",
        "training_file": "file-AbC123def",
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": "auto"}}},
        "seed": 7,
        "user_provided_suffix": "harbour",
        "status": "succeeded",
        "trained_tokens": 900,
    }
    write_json(folder / "job.json", job)
    return folder


CALL = "0190a000-0000-7000-8000-00000000000{}"
EPISODE = "0190a000-0000-7000-9000-00000000000{}"


def _asked(text: str) -> str:
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    return json.dumps({"system": "You know ferries.", "messages": [message]})


def _said(text: str) -> str:
    return json.dumps([{"type": "text", "text": text}])


def _inference(number: int, **more: Any) -> JSON:
    return {
        "id": CALL.format(number),
        "function_name": "ferry_help",
        "variant_name": "baseline",
        "episode_id": EPISODE.format(number),
        "input": _asked(f"Question {number}?"),
        "output": _said(f"Answer {number}."),
        "tool_params": "",
        "inference_params": "{}",
        "processing_time_ms": 200,
        "tags": {"customer": "42"},
        "snapshot_hash": "abc",
        **more,
    }


def _judged(number: int, **more: Any) -> JSON:
    return {"id": f"0190a001-0000-7000-8000-00000000000{number}", **more, "tags": {}}


def _point(number: int, question: str, output: str | None) -> JSON:
    return {
        "dataset_name": "golden",
        "function_name": "ferry_help",
        "id": CALL.format(number),
        "episode_id": None,
        "input": _asked(question),
        "output": output,
        "is_deleted": False,
        "staled_at": None,
    }


def tensorzero_rows() -> dict[str, list[JSON]]:
    """Return rows of TensorZero's tables, JSON within texts as ClickHouse writes it."""
    gone = "0190ffff-0000-7000-8000-000000000000"
    structured = json.dumps({"raw": '{"pier":3}', "parsed": {"pier": 3}})
    return {
        "ChatInference": [_inference(number) for number in range(3)],
        "JsonInference": [_inference(7, episode_id=EPISODE.format(0), output=structured)],
        "BooleanMetricFeedback": [
            _judged(1, target_id=CALL.format(0), metric_name="solved", value=True),
            _judged(2, target_id=CALL.format(1), metric_name="escalated", value=True),
            _judged(3, target_id=gone, metric_name="solved", value=True),
        ],
        "FloatMetricFeedback": [
            _judged(4, target_id=EPISODE.format(2), metric_name="rating", value=0.25),
            _judged(5, target_id=CALL.format(2), metric_name="elapsed_ms", value=1500.0),
        ],
        "CommentFeedback": [_judged(6, target_id=CALL.format(0), target_type="inference", value="Nice.")],
        "DemonstrationFeedback": [_judged(7, inference_id=CALL.format(1), value=_said("At nine."))],
        "ChatInferenceDatapoint": [
            _point(8, "Where is pier 3?", _said("By the lighthouse.")),
            _point(9, "No answer?", None),
        ],
    }


TOML = """
[functions.ferry_help]
type = "chat"
[functions.ferry_help.variants.baseline]
type = "chat_completion"
model = "openai::gpt-5-mini"
[metrics.solved]
type = "boolean"
level = "inference"
optimize = "max"
[metrics.escalated]
type = "boolean"
level = "inference"
optimize = "min"
[metrics.rating]
type = "float"
level = "episode"
optimize = "max"
[evaluations.golden]
type = "inference"
function_name = "ferry_help"
"""


def kiln_project(folder: Path) -> Path:
    """Write a project of Kiln's: a task, runs rated and repaired, a split, an eval with two judges."""
    task = folder / "tasks" / "202916389706 - Pier Finder"
    write_json(folder / "project.kiln", {"v": 1, "id": "1", "name": "Harbour", "model_type": "project"})
    about = {"v": 1, "id": "202916389706", "name": "Pier Finder", "instruction": "Say the pier.", "model_type": "task"}
    write_json(task / "task.kiln", {**about, "requirements": []})

    def run(key: str, answer: str, rating: JSON | None, **more: Any) -> None:
        source = {"type": "synthetic", "properties": {"model_name": "llama", "model_provider": "groq"}}
        output = {"v": 1, "output": answer, "source": source, "rating": rating, "model_type": "task_output"}
        value = {
            "v": 1,
            "id": key,
            "created_at": "2026-01-05T10:00:00",
            "input": f"Boat {key}?",
            "output": output,
            **more,
        }
        write_json(task / "runs" / key / "task_run.kiln", {**value, "model_type": "task_run"})

    run("r1", "Pier 1.", {"type": "five_star", "value": 5.0})
    run(
        "r2",
        "Pier two.",
        {"type": "five_star", "value": 2.0},
        repair_instructions="Digits.",
        repaired_output={"output": "Pier 2."},
    )
    run("r3", "Pier 3.", {"type": "pass_fail", "value": 0.0})
    run("r4", "Pier 4.", None, tags=["golden"], surprising={"a": 1})
    run("r5", "", None)
    split = {"v": 1, "id": "s", "name": "Half", "splits": [], "split_contents": {"train": ["r1"], "test": ["r2", "r3"]}}
    write_json(task / "dataset_splits" / "s - Half" / "dataset_split.kiln", {**split, "model_type": "dataset_split"})
    judged = task / "evals" / "e - Pier"
    write_json(judged / "eval.kiln", {"v": 1, "id": "e", "name": "Pier", "output_scores": [], "model_type": "eval"})
    exact = {"type": "exact_match", "reference_key": "pier", "case_sensitive": True}
    config = {"v": 1, "config_type": "v2", "model_type": "eval_config"}
    write_json(judged / "configs" / "a" / "eval_config.kiln", {**config, "name": "exact", "properties": exact})
    pattern = {"type": "pattern_match", "pattern": "[0-9]", "mode": "must_match"}
    write_json(judged / "configs" / "c" / "eval_config.kiln", {**config, "name": "digit", "properties": pattern})
    write_json(
        judged / "configs" / "b" / "eval_config.kiln",
        {**config, "name": "judge", "config_type": "g_eval", "properties": {}},
    )
    write_json(task / "prompts" / "p" / "prompt.kiln", {"v": 1, "name": "p", "prompt": "x", "model_type": "prompt"})
    return folder
