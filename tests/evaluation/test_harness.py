"""Tasks of lm-evaluation-harness as exams: the same prompts and scoring, nothing downloaded, nothing called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.models import tiny_model

from feilun.engines.likelihood import Likelihood
from feilun.errors import BadRequest
from feilun.evaluation.formats import read_exam
from feilun.evaluation.likely import answer_likely
from feilun.evaluation.run import read_all
from feilun.grading import grade
from feilun.records import EvalAnswer

ROWS = [
    {"question": " Is it four? ", "options": ["yes", "no"], "answer": 0},
    {"question": "Is it five?", "options": ["yes", "no"], "answer": 1},
    {"question": "Is it six?", "options": ["certainly yes", "no"], "answer": 1},
]
CHOICE = {
    "task": "numbers",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "rows.jsonl", "dev": "dev.jsonl"}},
    "test_split": "test",
    "fewshot_split": "dev",
    "output_type": "multiple_choice",
    "description": "Numbers.\n\n",
    "doc_to_text": "Q: {{question.strip()}}\nA:",
    "doc_to_choice": "{{options}}",
    "doc_to_target": "answer",
    "num_fewshot": 1,
    "fewshot_config": {"sampler": "first_n"},
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}
SPOKEN = {
    "task": "spoken",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": "rows.jsonl"},
    "test_split": "train",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{options[answer]}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 5, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "ignore_case": True, "ignore_punctuation": True}],
    "filter_list": [{"name": "a", "filter": [{"function": "regex", "regex_pattern": r"is (\w+)"}]}],
}


def task(folder: Path, config: dict[str, Any]) -> Path:
    """Write a task with its rows, and return its file."""
    for name, rows in (("rows.jsonl", ROWS), ("dev.jsonl", [{**ROWS[1], "question": "Is it one?"}])):
        (folder / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    file = folder / "task.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


def test_prompts_are_the_harness_s(tmp_path: Path) -> None:
    """Description, examples with their delimiters, the question; continuations with theirs."""
    exam = read_exam([task(tmp_path, CHOICE)], "default", "numbers").exam
    likely = exam.items[0].meta["likely"]
    assert likely["context"] == "Numbers.\n\nQ: Is it one?\nA: no\n\nQ: Is it four?\nA:"
    assert (likely["continuations"], likely["gold"]) == ([" yes", " no"], [0])
    assert exam.meta["metrics"] == ["acc", "acc_norm"]


def test_an_included_file_gives_what_is_not_said(tmp_path: Path) -> None:
    """``include`` is read first, from beside the file."""
    task(tmp_path, CHOICE)
    (tmp_path / "more.yaml").write_text("include: task.yaml\ntask: more\nnum_fewshot: 0\n", encoding="utf-8")
    exam = read_exam([tmp_path / "more.yaml"], "default", "numbers").exam
    assert exam.items[1].meta["likely"]["context"] == "Numbers.\n\nQ: Is it five?\nA:"


async def test_generating_tasks_are_filtered_and_compared(tmp_path: Path) -> None:
    """The first filter, then exact_match with its arguments; where to stop and how long to go on."""
    item = read_exam([task(tmp_path, SPOKEN)], "default", "spoken").exam.items[0]
    assert (item.meta["prompt"], item.meta["stop"], item.meta["tokens"]) == (" Is it four? ", ["\n"], 5)
    right = await grade(item.meta["grader"], {}, {"output_text": "It is YES!"})
    wrong = await grade(item.meta["grader"], {}, {"output_text": "yes it was"})
    assert (right.passed, wrong.passed, wrong.error) == (True, False, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"output_type": "loglikelihood_rolling"}, "output_type"),
        ({"doc_to_text": "{{nothing}}"}, "cannot be filled in"),
        ({"doc_to_text": "{{ ''.__class__.__mro__ }}"}, "cannot be filled in"),
        ({"dataset_path": "owner/name", "dataset_kwargs": None}, "no local file"),
        ({"doc_to_target": 7}, "none of the options"),
        ({"num_fewshot": 9}, "asks for 9 examples"),
        ({"task": ["a", "b"]}, "group"),
        ({"doc_to_choice": "{{question}}"}, "not a list"),
        *(
            ({name: value}, name)
            for name, value in (
                ("generation_kwargs", 5),
                ("generation_kwargs", {"temperature": "warm"}),
                ("generation_kwargs", {"max_gen_toks": 0}),
                ("num_fewshot", "many"),
                ("num_fewshot", -1),
                ("filter_list", 5),
                ("filter_list", [{"filter": 5}]),
                ("metric_list", {"metric": "acc"}),
                ("fewshot_config", {"samples": ["one"]}),
                ("dataset_kwargs", {"data_files": 5}),
                ("test_split", ["test"]),
                ("target_delimiter", None),
            )
        ),
    ],
)
def test_what_cannot_be_taken_is_said(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    """Downloads, missing names, attempts at more than a template, sizes that do not fit."""
    with pytest.raises(BadRequest) as error:
        read_exam([task(tmp_path, CHOICE | change)], "default", "numbers")
    assert said in error.value.message


@pytest.mark.parametrize("target", ["answer", "{{answer}}"])
def test_rows_that_cannot_be_graded_are_named(tmp_path: Path, target: str) -> None:
    """Without a question, with an empty target, null or an empty list: left out. Contradictions stay, and are told."""
    sound = [{"question": f"Who is {n}?", "answer": f"Ann {n}"} for n in range(6)]
    broken = [
        {"question": " ", "answer": "x"},
        {"answer": "None", "question": "None?"},
        {"question": "\ud800", "answer": "x"},
    ]
    broken += [{"question": "What?", "answer": answer} for answer in ("", None, [])]
    file = task(tmp_path, SPOKEN | {"doc_to_text": "Q: {{question}}\nA:", "doc_to_target": target})
    rows = [*sound, *broken, {"question": "Who is 1?", "answer": "Bob"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = read_exam([file], "default", "spoken")
    assert [item.accept[0] for item in found.exam.items] == [*(f"Ann {n}" for n in range(6)), "None", "Bob"]
    said = " ".join(found.warnings)
    assert "5 rows were left out" in said
    assert "rows.jsonl:7: its question is empty" in said
    assert "rows.jsonl:9: it holds half a character" in said
    assert all(f"rows.jsonl:{line}: its reference" in said for line in (10, 11, 12))
    assert "contradict each other; they stay, as in the harness: rows.jsonl:2, rows.jsonl:13" in said


def test_options_without_a_right_one_are_named(tmp_path: Path) -> None:
    """A null, an empty list; a task whose prompt is empty on purpose is none of them."""
    file = task(tmp_path, CHOICE | {"doc_to_text": "", "num_fewshot": 0})
    rows = [*ROWS, {"question": "?", "options": ["a", "b"], "answer": None}, {"options": ["a", "b"], "answer": []}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = read_exam([file], "default", "numbers")
    assert len(found.exam.items) == 3
    assert "rows.jsonl:4: it names no right one" in found.warnings[0]
    assert "rows.jsonl:5: it names no right one" in found.warnings[0]


def test_functions_are_not_called(tmp_path: Path) -> None:
    """A file that names Python beside it is refused, and the Python does not run."""
    (tmp_path / "utils.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef process(x): return x\n")
    file = task(tmp_path, CHOICE)
    file.write_text(file.read_text() + "process_docs: !function utils.process\n", encoding="utf-8")
    with pytest.raises(BadRequest, match="calls a function"):
        read_exam([file], "default", "numbers")
    assert not (tmp_path / "ran").exists()


async def test_options_are_chosen_by_log_probability(tmp_path: Path) -> None:
    """Metric acc takes the likeliest option, acc_norm the likeliest by characters; a resumed run asks only the rest."""
    exam = read_exam([task(tmp_path, CHOICE)], "default", "numbers").exam
    read = Likelihood(tiny_model(tmp_path / "base"))
    kept: list[EvalAnswer] = []

    async def save(answers: list[EvalAnswer]) -> None:
        kept.extend(answers)

    assert await read_all(read, {"weights": "a"}, exam, "run", save) == 3
    for answer, item in zip(kept, exam.items, strict=True):
        sums, texts = answer.meta["logprobs"], item.meta["choices"]
        best = max(range(2), key=sums.__getitem__)
        norm = max(range(2), key=lambda place: sums[place] / len(texts[place]))
        gold = item.meta["gold"]
        assert answer.meta["scores"] == {"acc": float(best in gold), "acc_norm": float(norm in gold)}
        assert (answer.score, answer.answer) == (float(best in gold), texts[best])
        assert answer.meta["identity"]
    asked: list[int] = []

    def counting(pairs: Any) -> Any:
        asked.append(len(pairs))
        return read(pairs)

    assert await read_all(counting, {}, exam, "run", save, [kept[0].item, kept[2].item]) == 1
    assert asked == [2]
    assert kept[-1].meta["logprobs"] == pytest.approx(kept[1].meta["logprobs"], abs=1e-4)
    again = answer_likely(exam, exam.items[:1], "run", read)
    assert again[0].meta["scores"] == kept[0].meta["scores"]
