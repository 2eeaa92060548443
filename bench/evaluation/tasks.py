"""The exams of the bench, as tasks of lm-evaluation-harness over local files: both sides read the same YAML.

Knows where the data lies and how each exam asks. Does not know who sits them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

LETTERS = '["A", "B", "C", "D"]'
BOTH = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")]
EXACT = [{**BOTH[0], "metric": "exact_match", "ignore_case": True, "ignore_punctuation": True}]
BARE = "{{options | map('regex_replace', '^[(][A-E][)]', '') | list}}"
CHINESE = (
    "以下是{subject}的单项选择题，请直接给出正确答案的选项。\n\n",
    "{{Question.strip()}}\nA. {{A}}\nB. {{B}}\nC. {{C}}\nD. {{D}}\n答案：",
)
AQUA = "Q: {{question.strip()}} Answer Choices: {{options | join(' ')}}\nA: Among A through E, the answer is"


def _letters(name: str, files: dict[str, Any], subject: str, shots: int) -> dict[str, Any]:
    """Columns Question, A to D, Answer: by the letter."""
    description, text = CHINESE
    return {
        "task": name,
        "dataset_path": "csv",
        "dataset_kwargs": {"data_files": files},
        "test_split": "test",
        "output_type": "multiple_choice",
        "description": description.format(subject=subject),
        "doc_to_text": text,
        "doc_to_choice": LETTERS,
        "doc_to_target": "{{['A','B','C','D'].index(Answer)}}",
        "target_delimiter": "",
        "num_fewshot": shots,
        **({"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}} if shots else {}),
        "metric_list": BOTH,
    }


def _json(name: str, file: Path, text: str, more: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}, **kwargs},
        "test_split": "test",
        "doc_to_text": text,
        "num_fewshot": 0,
        **more,
    }


def tasks(data: Path) -> list[dict[str, Any]]:
    """Return the tasks over the files of ``data``."""
    cmmlu, finance = data / "cmmlu/data/dev", data / "financeiq/data"
    gaokao, agieval = data / "gaokao_bench/Data/Objective_Questions", data / "agieval/data/v1"
    chosen = {"output_type": "multiple_choice", "metric_list": BOTH}
    fund = min((finance / "test").glob("*.csv"), key=lambda path: (path.stat().st_size, path.name))
    by_letter = {**chosen, "doc_to_choice": '["A", "B", "C", "D", "E"]', "doc_to_target": "{{'ABCDE'.index(label)}}"}
    return [
        _letters("cmmlu_dev", {"test": [str(path) for path in sorted(cmmlu.glob("*.csv"))]}, "中国各学科", 0),
        _letters("financeiq", {"test": str(fund), "dev": str(finance / "dev" / fund.name)}, fund.stem, 2),
        _json("aqua_rat", agieval / "aqua-rat.jsonl", AQUA, by_letter),
        _json(
            "aqua_rat_texts",
            agieval / "aqua-rat.jsonl",
            "Question: {{question.strip()}}\nAnswer:",
            {
                **by_letter,
                "doc_to_choice": BARE,
            },
        ),
        _json(
            "gaokao_history",
            gaokao / "2010-2022_History_MCQs.json",
            "{{question.strip()}}\n答案：",
            {
                **chosen,
                "doc_to_choice": LETTERS,
                "doc_to_target": "{{'ABCD'.index(answer[0])}}",
                "target_delimiter": "",
            },
            field="example",
        ),
        _json(
            "gaokao_mathcloze",
            agieval / "gaokao-mathcloze.jsonl",
            "问题：{{question.strip()}}\n答案：",
            {
                "output_type": "generate_until",
                "doc_to_target": "{{answer}}",
                "target_delimiter": "",
                "generation_kwargs": {"until": ["\n"], "max_gen_toks": 24, "do_sample": False},
                "metric_list": EXACT,
            },
        ),
    ]


def write(folder: Path, data: Path, most: int) -> list[Path]:
    """Write the tasks as YAML into ``folder``, their rows cut to ``most`` (0: all); return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for task in tasks(data):
        task["metadata"] = {"version": 1, "limit": most}
        file = folder / f"{task['task']}.yaml"
        file.write_text(yaml.safe_dump(task, allow_unicode=True, sort_keys=False), encoding="utf-8")
        files.append(file)
    (folder / "limit.json").write_text(json.dumps(most), encoding="utf-8")
    return files
