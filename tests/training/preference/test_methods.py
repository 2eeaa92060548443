"""The recipes as a whole on a tiny model: they learn what was preferred, and how they are cut up does not matter."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training.preference.conftest import pairs, rated, tasks

from feilun.engines.adapters import read_adapter
from feilun.engines.decoder import Decoder
from feilun.errors import BadModel, BadRequest
from feilun.training.methods import grpo
from feilun.training.plan import Plan
from feilun.training.preference.odds import Policy
from feilun.training.preference.scored import read_reward_model
from feilun.training.preference.trees import Tree
from feilun.training.recipes import OPTIONS
from feilun.training.run import train

MakePlan = Callable[..., Plan]
SHORT = {"type": "regex", "pattern": "(?s)^.{0,12}$"}
LINES = {"dpo": [*pairs(8), *rated(4)], "reward": pairs(), "kto": rated()}


def trained(plan: Plan) -> dict[str, Any]:
    """Train in this process; return the facts of the run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT uses what transformers is about to take away
        train(plan)
    found: dict[str, Any] = json.loads((Path(plan.out) / "training.json").read_text())
    return found


@pytest.mark.parametrize("method", list(LINES))
def test_a_batch_is_its_parts_and_a_pack_is_its_rows(make_plan: MakePlan, method: str) -> None:
    """Six a step at once, one after another, and each alone in a pack: the same losses but for bfloat16's rounding."""
    lines, found = LINES[method], []
    for number, settings in enumerate(({"rows": 2000}, {"micro": 1, "rows": 2000}, {"rows": 1})):
        facts = trained(make_plan(method, lines, f"run-{number}", batch=6, **settings))
        assert len(facts["losses"]) == 4
        found.append(facts["losses"])
    assert found[1] == pytest.approx(found[0], rel=0.02, abs=0.01)
    assert found[2] == pytest.approx(found[0], rel=0.02, abs=0.01)
    assert found[0][-1] < found[0][0]


def test_the_reward_model_ranks_what_was_preferred(make_plan: MakePlan, base: Path) -> None:
    """Read back from its files, it scores chosen answers higher; a folder without a head is no reward model."""
    plan = make_plan("reward", pairs(16), epochs=8, batch=4)
    facts = trained(plan)
    assert facts["preferred"] >= 0.9
    decoder = Decoder(base, torch.bfloat16)
    reward = read_reward_model(Path(plan.out), decoder)
    assert reward.head.abs().sum() > 0
    (Path(plan.out) / "reward_head.safetensors").unlink()
    with pytest.raises(BadModel, match="not a reward model"):
        read_reward_model(Path(plan.out), decoder)


def test_grpo_learns_by_a_reward_model(make_plan: MakePlan) -> None:
    """Answers are scored by the model that was trained before; every answer got a grade."""
    reward = make_plan("reward", pairs(12), "reward")
    trained(reward)
    options = {"reward_model": reward.out, "samples": 4, "max_tokens": 8}
    facts = trained(make_plan("grpo", tasks(), epochs=1, batch=5, options=options))
    assert len(facts["rewards"]) == 2
    assert facts["grades"] == 10 * 4
    assert facts["grade_errors"] == 0


def test_grpo_learns_what_a_grader_wants(make_plan: MakePlan) -> None:
    """Answers that stay short are rewarded, and become more frequent; the same seed gives the same run."""
    options = {"grader": SHORT, "samples": 8, "max_tokens": 12, "beta": 0.0}
    settings = {"epochs": 6, "batch": 5, "learning_rate": 2e-2, "options": options}
    facts = trained(make_plan("grpo", tasks(), "one", **settings))
    assert sum(facts["rewards"][-3:]) > sum(facts["rewards"][:3])
    assert "warning" not in facts
    again = trained(make_plan("grpo", tasks(), "two", **{**settings, "epochs": 1}))
    assert again["rewards"][0] == facts["rewards"][0]


def test_a_step_of_grpo_is_its_parts(policy: Policy, trees: list[Tree], make_plan: MakePlan) -> None:
    """All answers to a prompt in one pack or each alone: the same gradient; a reference that is not the model pulls."""
    groups = [([Tree(tree.prompt, (answer,)) for answer in tree.answers], torch.tensor([1.0, -1.0])) for tree in trees]
    first, found = Policy(policy.decoder, {}, policy.scale, policy.first), []
    parameters = [factor for pair in policy.factors.values() for factor in pair]
    for settings, beta in (({"micro": 0}, 0.04), ({"micro": 1}, 0.04), ({"micro": 0}, 0.0)):
        plan = make_plan("grpo", [], **settings)
        loss, tokens = grpo.learn(policy, first, groups, {**OPTIONS["grpo"], "beta": beta}, plan)
        assert tokens == sum(2 * len(tree.prompt) + sum(map(len, tree.answers)) for tree in trees)
        found.append((loss, [factor.grad.clone() for factor in parameters if factor.grad is not None]))
        for factor in parameters:
            factor.grad = None
    assert found[1][0] == pytest.approx(found[0][0], abs=1e-5)
    torch.testing.assert_close(found[1][1], found[0][1], atol=1e-5, rtol=1e-3)
    assert found[2][0] == pytest.approx(0.0, abs=1e-6), "on its own samples, advantages weigh nothing"
    assert found[0][0] > 1e-4


@pytest.mark.parametrize("method", ["reward", "grpo"])
def test_a_replay_that_nobody_made_is_not_missed(make_plan: MakePlan, tmp_path: Path, method: str) -> None:
    """In a new home there is none, and these methods ask for none."""
    options = {"grader": SHORT, "samples": 2, "max_tokens": 4} if method == "grpo" else {}
    given = {"epochs": 1, "batch": 12, "replay": str(tmp_path / "none.jsonl"), "options": options}
    assert trained(make_plan(method, {**LINES, "grpo": tasks()}[method], **given))["losses"]


def test_no_advantage_no_change(make_plan: MakePlan, capsys: pytest.CaptureFixture[str]) -> None:
    """Where every answer is graded alike, the model stays as it is, and the run says so."""
    options = {"grader": {"type": "regex", "pattern": "(?s).*"}, "samples": 2, "max_tokens": 4}
    plan = make_plan("grpo", tasks(), epochs=1, batch=10, options=options)
    facts = trained(plan)
    assert facts["rewards"] == [1.0]
    assert "nothing could be learnt" in facts["warning"]
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"warning": facts["warning"]} in told
    factors = read_adapter(Path(plan.out), torch.float32).factors
    assert all(float(b.abs().max()) == 0 for _, b in factors.values())


def test_graders_that_fail_end_the_run_with_their_reason(make_plan: MakePlan) -> None:
    """A formula that divides by nought fails each time: the run says how often, and why, and leaves no adapter."""
    never = {"type": "regex", "pattern": "no answer is like this"}
    grader = {"type": "multi", "graders": {"one": never}, "calculate_output": "1 / one"}
    plan = make_plan("grpo", tasks(), batch=10, options={"grader": grader, "samples": 2, "max_tokens": 4})
    with pytest.raises(BadRequest, match=r"20 of 20 grades failed.*The grader said"):
        trained(plan)
    assert not Path(plan.out).exists()


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("dpo", {"gamma": 1}, "takes no gamma"),
        ("dpo", {"beta": "much"}, "beta is 'much'"),
        ("kto", {"beta": -1}, "beta is -1"),
        ("grpo", {}, "needs a grader or a reward_model"),
        ("grpo", {"grader": SHORT, "reward_model": "x"}, "not both"),
        ("grpo", {"grader": {"type": "magic"}}, "magic"),
        ("grpo", {"grader": SHORT, "samples": 1}, "at least 2"),
    ],
)
def test_options_that_cannot_be(make_plan: MakePlan, method: str, options: dict[str, Any], words: str) -> None:
    """Each is refused by its name, before anything is learnt."""
    with pytest.raises(BadRequest, match=words):
        trained(make_plan(method, pairs(), options=options))


def test_auto_is_the_default(make_plan: MakePlan) -> None:
    """``auto`` stands for what the recipe chooses."""
    one = trained(make_plan("dpo", pairs(), "one", epochs=1))
    two = trained(make_plan("dpo", pairs(), "two", epochs=1, options={"beta": "auto", "sft": None}))
    assert two["losses"] == one["losses"]
