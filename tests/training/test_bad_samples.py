"""Samples that cannot be trained on: each is refused in words, with its place, and nothing is written."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.training.processes import finished, running, said

from feilun.engines.prompts import Prompter
from feilun.errors import BadModel, BadRequest, BadSetting, FeilunError, TooFewSamples
from feilun.training.methods.cpt import read_texts
from feilun.training.methods.sft import read_chats
from feilun.training.plan import Plan
from feilun.training.run import train

MakePlan = Callable[..., Plan]
ASK = {"role": "user", "content": "Who?"}
SAY = {"role": "assistant", "content": "Me."}


def filled(plan: Plan, *lines: Any) -> Plan:
    """Return the plan with other samples."""
    Path(plan.samples).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return plan


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"messages": [SAY, ASK]}, "Sample 2 does not end with an answer"),
        ({"messages": [SAY]}, "Sample 2 does not end with an answer"),
        ({"messages": []}, "Sample 2 does not end with an answer"),
        ({"messages": [ASK, {"role": "assistant", "content": " "}]}, "Sample 2 does not end with an answer"),
        ({"messages": [ASK, {"role": "assistant", "content": None}]}, "Sample 2 does not end with an answer"),
        ({"messages": [{"role": "robot", "content": "?"}, SAY]}, "Sample 2 has a message of the role 'robot'"),
        ({"messages": "Who?"}, "Sample 2 has no messages"),
        ({"text": "Who?"}, "Sample 2 has no messages"),
    ],
)
def test_wrong_roles_are_named_by_their_line(make_plan: MakePlan, prompter: Prompter, line: Any, said: str) -> None:
    """A sample must end with what the assistant should say."""
    plan = filled(make_plan(), {"messages": [ASK, SAY]}, line)
    with pytest.raises(BadRequest, match=said):
        read_chats(plan, prompter, plan.samples)


def test_what_is_too_long_is_counted(make_plan: MakePlan, prompter: Prompter, capsys: Any) -> None:
    """Some that do not fit are left out, and told; if all are, there is nothing to train on."""
    plan = filled(make_plan(longest=60), {"messages": [ASK, SAY]}, {"messages": [ASK, {**SAY, "content": "x" * 900}]})
    assert len(read_chats(plan, prompter, plan.samples)) == 1
    assert "1 of 2 samples are longer than 60 tokens" in capsys.readouterr().out
    with pytest.raises(TooFewSamples, match="None of the samples fits"):
        read_chats(replace(plan, longest=10), prompter, plan.samples)
    with pytest.raises(TooFewSamples, match="None of the samples"):
        read_chats(filled(plan), prompter, plan.samples)


def test_documents_without_text(make_plan: MakePlan, prompter: Prompter) -> None:
    """A line without a text is named; a file without any is too little."""
    plan = make_plan(method="cpt")
    with pytest.raises(BadRequest, match="Document 2 has no text"):
        read_texts(plan, prompter, filled(plan, {"text": "Some text."}, {"messages": []}).samples)
    with pytest.raises(TooFewSamples, match="No document"):
        read_texts(plan, prompter, filled(plan, {"text": " "}, {"text": "x"}).samples)


@pytest.mark.parametrize("method", ["supervised", "full", "cpt"])
def test_a_base_that_has_disappeared(make_plan: MakePlan, tmp_path: Path, method: str) -> None:
    """A folder that is gone, and one that lost its weights, are named; nothing is written."""
    plan = make_plan(method=method)
    if method == "cpt":
        filled(plan, {"text": "A text that is long enough to be read."})
    lame = tmp_path / "lame"
    shutil.copytree(plan.base, lame)
    (lame / "model.safetensors").unlink()
    for base, named in ((tmp_path / "gone", "tokenizer.json"), (lame, "safetensors")):
        with pytest.raises(BadModel, match=named):
            train(replace(plan, base=str(base), replay=""))
    assert not Path(plan.out).exists()


def test_a_method_that_is_none(make_plan: MakePlan) -> None:
    """An unknown method is refused with those that there are; so is an option of another method."""
    with pytest.raises(BadSetting, match="no training method named magic"):
        train(make_plan(method="magic"))
    with pytest.raises(BadRequest, match="takes no"):
        train(make_plan(method="cpt", options={"beta": 0.1}))
    with pytest.raises(BadRequest, match="must be answers or tokens"):
        train(make_plan(options={"weighting": "letters"}))


@pytest.mark.parametrize("method", ["supervised", "full"])
def test_what_weighs_the_same_is_chosen(make_plan: MakePlan, method: str) -> None:
    """Answers, unless somebody says tokens: another loss, by the same process that jobs run."""
    losses = []
    for place, options in enumerate(({}, {"weighting": "auto"}, {"weighting": "answers"}, {"weighting": "tokens"})):
        plan = make_plan(str(place), method=method, options=options, epochs=1)
        filled(plan, *({"messages": [ASK, {**SAY, "content": "a b c " * size}]} for size in range(1, 13)))
        losses.append(finished(plan)["losses"])
    assert losses[0] == losses[1] == losses[2] != losses[3]


def test_a_process_ends_with_the_reason(make_plan: MakePlan) -> None:
    """Its last line is the failure, as an error of ours, and it leaves no traceback."""
    plan = filled(make_plan(), {"messages": [SAY, ASK]})
    with running(plan, stderr=subprocess.PIPE) as child:
        last = list(said(child))[-1]
        assert child.wait() == 2
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()
    assert last["failure"]["error"]["code"] == "invalid_request"
    assert issubclass(BadRequest, FeilunError)
