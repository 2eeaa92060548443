"""Packed answers that share their prompt, against transformers and PEFT, each answer alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.training.preference.conftest import plain_odds

from feilun.engines.decoder import PROJECTIONS
from feilun.training.lora import NOTHING
from feilun.training.preference.odds import Policy, learn_lower, lengths, reference
from feilun.training.preference.trees import Tree, plant, shared_beginning, split


@pytest.mark.parametrize("rows", [0, 900])
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("lower", [False, True])
def test_odds_and_slopes_are_those_of_each_answer_alone(
    policy: Policy, peft: Any, trees: list[Tree], count: int, rows: int, lower: bool
) -> None:
    """Packed, with and without kept lower states: the same log p of each token, the same gradient of every factor."""
    chosen = trees[:count]
    forest = plant(chosen, rows)
    known = learn_lower(policy, trees, 400, 1 << 30).known(chosen, forest) if lower else NOTHING
    assert (known.low is not None) == lower
    tokens = policy.tokens(forest, known)
    weights = torch.linspace(-1, 2, len(tokens))  # an arbitrary loss of all tokens
    parameters = [factor for pair in policy.factors.values() for factor in pair]
    slopes = iter(torch.autograd.grad((tokens * weights).sum(), parameters))

    expected = torch.cat([odds for tree in chosen for odds in plain_odds(peft, tree)])
    torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=1e-4)
    (expected * weights).sum().backward()
    theirs = dict(peft.named_parameters())
    for layer, name in policy.factors:
        for side in ("A", "B"):
            path = f"base_model.model.model.layers.{layer}.{PROJECTIONS[name]}.{name}.lora_{side}.default.weight"
            torch.testing.assert_close(next(slopes), theirs[path].grad, atol=2e-4, rtol=1e-3)


def test_references_are_sums_over_answers(policy: Policy, peft: Any, trees: list[Tree]) -> None:
    """In packs of any size and in order; lengths count each answer's tokens."""
    lower = learn_lower(policy, trees, 300, 1 << 30)
    expected = [[odds.sum().item() for odds in plain_odds(peft, tree)] for tree in trees]
    for rows in (1, 150, 2000):
        found = reference(policy, trees, lower, rows)
        torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), atol=1e-3, rtol=1e-4)
    assert lengths(plant(trees)).tolist() == [len(answer) for tree in trees for answer in tree.answers]


def test_lower_states_beyond_the_limit_are_not_kept(policy: Policy, trees: list[Tree]) -> None:
    """Where they would take too much, they are computed each time."""
    assert not learn_lower(policy, trees, 300, 1000).kept
    assert len(learn_lower(policy, [*trees, trees[0]], 300, 1 << 30).kept) == len(trees)


def test_prompts_are_spent_once(trees: list[Tree]) -> None:
    """A pack has one shared beginning, each prompt once, and both answers; packs keep to their size."""
    forest = plant(trees)
    shared = shared_beginning(trees)
    assert shared > 3
    real = shared + sum(tree.rows - shared for tree in trees)
    assert real <= len(forest.pack.ids) < real + 64
    assert shared_beginning(trees[:1]) == 0
    groups = split(trees, 200, most=2)
    assert [place for group in groups for place in group] == list(range(len(trees)))
    assert all(len(group) <= 2 for group in groups)
    assert all(len(group) == 1 or sum(trees[place].rows for place in group) <= 200 for group in groups)
