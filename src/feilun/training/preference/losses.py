"""The losses of preference training, over log-probabilities (nats) that somebody else computed.

It knows formulas. It does not know models, tokens or packs: inputs are tensors, one number an answer or a token.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def dpo_loss(chosen: Tensor, rejected: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """Return the loss of each pair [pairs] (Rafailov et al. 2023, equation 7).

    ``chosen`` and ``rejected`` are log p minus the reference's, summed over the answer. ``smoothing`` is the share of
    pairs that are believed to be the wrong way round (conservative DPO, Mitchell 2023).
    """
    margin = beta * (chosen - rejected)
    return -functional.logsigmoid(margin) * (1.0 - smoothing) - functional.logsigmoid(-margin) * smoothing


def kto_loss(gain: Tensor, liked: Tensor, drift: Tensor, beta: float, weights: tuple[float, float]) -> Tensor:
    """Return the loss of each answer [rows] (Ethayarajh et al. 2024, equation 8).

    ``gain`` is log p minus the reference's; ``drift`` the batch's estimate of the divergence, which takes no gradient;
    ``weights`` are those of liked and of disliked answers.
    """
    away = beta * (gain - drift.detach())
    good = weights[0] * (1.0 - torch.sigmoid(away))
    bad = weights[1] * (1.0 - torch.sigmoid(-away))
    return torch.where(liked, good, bad)


def kto_weights(liked: int, disliked: int) -> tuple[float, float]:
    """Return weights under which the rarer side counts as much as the other (ibid., section 4.2)."""
    more = max(liked, disliked)
    return more / max(1, liked), more / max(1, disliked)


def ranking_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """Return the loss of each pair of scores [pairs] (Bradley and Terry 1952; Ouyang et al. 2022, equation 1)."""
    return -functional.logsigmoid(chosen - rejected)


def advantages(rewards: Tensor, *, scaled: bool = True) -> Tensor:
    """Return how much better each answer of a group is than the group [answers] (Shao et al. 2024, section 4.1.2).

    All equal is no advantage for anybody. Not ``scaled`` leaves the deviation out (Liu et al. 2025, Dr. GRPO).
    """
    centred = rewards - rewards.mean()
    if len(rewards) < 2 or float(centred.abs().max()) < 1e-6:
        return torch.zeros_like(rewards)
    return centred / (rewards.std() + 1e-4) if scaled else centred


def grpo_loss(tokens: Tensor, before: Tensor, reference: Tensor, advantage: Tensor, beta: float, clip: float) -> Tensor:
    """Return the loss of each token [tokens] (Shao et al. 2024, equations 3 and 4).

    ``before`` are the log-probabilities under the model that sampled, ``advantage`` that of each token's answer; the
    divergence from ``reference`` is the unbiased estimate that is never negative (Schulman 2020).
    """
    ratio = (tokens - before).exp()
    gain = torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)
    away = reference - tokens
    return beta * (away.exp() - away - 1.0) - gain
