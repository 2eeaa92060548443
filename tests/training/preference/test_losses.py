"""The losses against formulas written out with plain numbers."""

from __future__ import annotations

import math
import statistics

import pytest
import torch

from feilun.training.preference.losses import (
    advantages,
    dpo_loss,
    grpo_loss,
    kto_loss,
    kto_weights,
    ranking_loss,
)


def sigmoid(value: float) -> float:
    """Return the logistic function."""
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("beta", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_dpo(beta: float, smoothing: float) -> None:
    """The negative log of how surely the chosen side wins; smoothing takes some pairs for wrong."""
    chosen, rejected = [3.0, -2.0, 0.0], [1.0, 4.0, 0.0]
    found = dpo_loss(torch.tensor(chosen), torch.tensor(rejected), beta, smoothing)
    wins = [sigmoid(beta * (c - r)) for c, r in zip(chosen, rejected, strict=True)]
    expected = [-(1 - smoothing) * math.log(win) - smoothing * math.log(1 - win) for win in wins]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    assert found[2].item() == pytest.approx(math.log(2))


def test_kto() -> None:
    """Liked answers are to gain more than the drift, others less; the drift takes no gradient."""
    gain = torch.tensor([2.0, -1.0, 2.0], requires_grad=True)
    drift = torch.tensor(0.5, requires_grad=True)
    found = kto_loss(gain, torch.tensor([True, True, False]), drift, 0.2, (1.0, 1.5))
    expected = [1 - sigmoid(0.2 * 1.5), 1 - sigmoid(0.2 * -1.5), 1.5 * (1 - sigmoid(0.2 * -1.5))]
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    found.sum().backward()
    assert drift.grad is None
    assert gain.grad is not None
    assert gain.grad[0] < 0 < gain.grad[2]


def test_the_rarer_side_counts_as_much() -> None:
    """Weights make both sides equal in sum; the more frequent one keeps its weight of one."""
    assert kto_weights(30, 10) == (1.0, 3.0)
    assert kto_weights(5, 20) == (4.0, 1.0)
    assert kto_weights(7, 7) == (1.0, 1.0)


def test_ranking() -> None:
    """Bradley and Terry: the log odds that the chosen side wins are the difference of the scores."""
    found = ranking_loss(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0]))
    assert found.tolist() == pytest.approx([-math.log(sigmoid(1)), -math.log(sigmoid(-2))], abs=1e-6)


def test_advantages_are_relative_to_the_group() -> None:
    """Mean nought, deviation one; equal rewards, or a single answer, are no reason to change anything."""
    rewards = [1.0, 0.0, 0.0, 0.5]
    mean, deviation = statistics.mean(rewards), statistics.stdev(rewards)
    expected = [(reward - mean) / deviation for reward in rewards]
    assert advantages(torch.tensor(rewards)).tolist() == pytest.approx(expected, abs=1e-3)
    assert advantages(torch.tensor(rewards), scaled=False).tolist() == pytest.approx([r - mean for r in rewards])
    assert advantages(torch.tensor([0.7, 0.7, 0.7])).tolist() == [0, 0, 0]
    assert advantages(torch.tensor([1.0])).tolist() == [0]


def test_grpo() -> None:
    """A ratio beyond the clip gains nothing more; the divergence is never negative, and nought where nothing moved."""
    tokens, before = torch.tensor([-1.0, -0.5, -2.0]), torch.tensor([-1.0, -1.0, -1.0])
    there, advantage = torch.tensor([-1.0, -1.0, -1.5]), torch.tensor([1.0, 1.0, -1.0])
    found = grpo_loss(tokens, before, there, advantage, 0.04, 0.2).tolist()
    away = [r - t for r, t in zip(there.tolist(), tokens.tolist(), strict=True)]
    divergence = [math.exp(a) - a - 1 for a in away]
    gains = [1.0, min(math.exp(0.5), 1.2), min(-math.exp(-1.0), -0.8)]
    assert divergence[0] == 0
    assert min(divergence) >= 0
    assert found == pytest.approx([0.04 * d - g for d, g in zip(divergence, gains, strict=True)], abs=1e-6)
