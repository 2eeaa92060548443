"""``feilun train`` and ``feilun export``: from a file on this machine to a version and its files, without a gateway."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feilun.cli import main
from feilun.gateway.endpoints.fine_tuning.methods import DistillationHyperparameters, ReinforcementHyperparameters
from feilun.settings import load
from feilun.store import Journal, open_database, sources

Run = Callable[..., int]


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return file


def pairs(count: int = 12) -> list[dict[str, Any]]:
    """Return questions with answers."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is the fee of account {number}?"},
                {"role": "assistant", "content": f"It is {number * 7 % 10} crowns."},
            ]
        }
        for number in range(count)
    ]


@pytest.fixture
def run(tmp_path: Path, tiny_folder: Any, replay_of: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a way to run a command on a home whose base is a tiny model."""
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("FEILUN_MODEL", str(tiny_folder(tmp_path / "tiny")))
    monkeypatch.setenv("FEILUN_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    replay_of(load(given={"home": str(tmp_path / "home")}))
    return lambda *arguments: main([*arguments, "--home", str(tmp_path / "home")])


@pytest.mark.slow
def test_a_file_becomes_a_version_and_its_files(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The estimate comes first; the same command again makes nothing twice; the version can be exported by its name."""
    write(tmp_path / "pairs.jsonl", pairs())
    arguments = ("train", "pairs.jsonl", "--epochs", "1", "--name", "fees")
    assert run(*arguments) == 0
    said = capsys.readouterr().out
    assert "12 examples on tiny" in said
    assert said.index("About 1 min") < said.index("Training: step")
    assert run(*arguments, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert f"Ready: {result['model']}" in said
    assert run("export", "fees", "--as", "adapter", "--out", "out") == 0
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    assert "method: supervised" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert run("export", "fees", "--as", "adapter", "--out", "out") == 4
    db = open_database(tmp_path / "home")
    (job,) = Journal(db).find("default", "training")
    assert sorted(source.name for source in sources.find(db, "default")) == [f"{job.id}-metrics.csv", "pairs.jsonl"]
    db.close()


def test_what_it_takes_is_told_and_nothing_is_begun(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both languages, and as JSON; no job is made."""
    write(tmp_path / "pairs.jsonl", pairs())
    assert run("train", "pairs.jsonl", "--estimate", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["seconds"] > 0
    assert found["samples"] == 12
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert run("train", "pairs.jsonl", "--estimate") == 0
    assert "12 条样本" in capsys.readouterr().out
    db = open_database(tmp_path / "home")
    assert Journal(db).find("default") == []
    db.close()


def test_permissions_beside_the_file_hold(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that its folder's rules keep from training is not trained on."""
    write(tmp_path / "pairs.jsonl", pairs())
    (tmp_path / "feilun.permissions.yaml").write_text('"*.jsonl":\n  train: false\n', encoding="utf-8")
    assert run("train", "pairs.jsonl", "--estimate") == 3
    assert "train" in capsys.readouterr().err


def test_the_help_names_the_ranges_that_hold(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every number's range is that of the API; ``auto`` may be said, and is what holds where nothing is."""
    with pytest.raises(SystemExit):
        run("train", "--help")
    helped = " ".join(capsys.readouterr().out.split())
    shapes: tuple[Any, ...] = (ReinforcementHyperparameters, DistillationHyperparameters)
    fields = {name: field for shape in shapes for name, field in shape.model_json_schema()["properties"].items()}
    names = {"epochs": "n_epochs", "batch": "batch_size", "rate": "learning_rate_multiplier"}
    for option in ("epochs", "batch", "rate", "beta", "samples", "max-tokens"):
        number = fields[names.get(option, option.replace("-", "_"))]["anyOf"][1]
        low = str(number["minimum"]) if "minimum" in number else f"above {number['exclusiveMinimum']:g}"
        parts = [part[:160] for part in helped.split(f"--{option} ")[1:]]
        assert any(f"{low} to {number['maximum']:g}, or auto" in part for part in parts), option
    write(tmp_path / "pairs.jsonl", pairs())
    told = []
    for arguments in ((), ("--epochs", "auto", "--batch", "auto", "--rate", "auto")):
        assert run("train", "pairs.jsonl", "--estimate", "--json", *arguments) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]
    with pytest.raises(SystemExit):
        run("train", "pairs.jsonl", "--epochs", "many")
    assert "'many' is neither auto nor a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "[]", '{"max_position_embeddings": "many"}'])
def test_a_damaged_base_is_named(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str) -> None:
    """A config.json that is no JSON, no object, or has a window that is no number."""
    write(tmp_path / "pairs.jsonl", pairs())
    assert run("train", "pairs.jsonl", "--estimate") == 0
    (tmp_path / "tiny" / "config.json").write_text(content)
    capsys.readouterr()
    assert run("train", "pairs.jsonl", "--estimate") == 2
    said = capsys.readouterr().err
    assert "config.json" in said
    assert "Fetch the model again." in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing.jsonl",), "There is no file nothing.jsonl"),
        (("wrong.jsonl",), "line 3: not JSON"),
        (("pairs.jsonl", "--method", "dpo"), "dpo does not learn from lines like"),
        (("nonsense.jsonl", "--method", "dpo"), '"preferred_output"'),
        (("nonsense.jsonl", "--method", "cpt"), 'Each line is {"text"'),
        (("nonsense.jsonl", "--method", "kto"), '"liked": true'),
        (("half.jsonl", "--estimate"), "half.jsonl cannot be used: line 1: a text that is not Unicode"),
        (("pairs.jsonl", "--method", "reasoning"), "reasoning needs --grader"),
        (("pairs.jsonl", "--method", "distillation"), "distillation needs --teacher"),
        (("pairs.jsonl", "--method", "reasoning", "--grader", "wrong.jsonl"), "is no grader"),
        (("pairs.jsonl", "--epochs", "0"), "n_epochs must be 'auto' or a whole number from 1 to 50, not 0."),
        (("pairs.jsonl", "--rate", "nan"), "learning_rate_multiplier must be 'auto' or a number above 0"),
        (("pairs.jsonl", "--beta", "1"), "beta"),
        (("pairs.jsonl", "--name", "x" * 65), "name: String should have at most 64 characters"),
        (("pairs.jsonl", "--seed", str(2**63)), "seed: "),
        (("pairs.jsonl", "--from", "nobody"), "There is no model 'nobody'"),
        (("dataset-nothing",), "dataset version dataset-nothing"),
    ],
)
def test_wrong_wishes_are_said_in_words(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    """Exit code 2 and what to do, before anything is prepared."""
    file = write(tmp_path / "pairs.jsonl", pairs())
    (tmp_path / "wrong.jsonl").write_text("\n".join([*file.read_text().split("\n")[:2], "nonsense"]))
    (tmp_path / "nonsense.jsonl").write_text("nonsense\n" * 12)
    (tmp_path / "half.jsonl").write_text('{"text": "\\ud800"}\n')
    assert run("train", *arguments) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert "Traceback" not in said.err
