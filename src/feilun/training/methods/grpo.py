"""Group relative policy optimisation (Shao et al. 2024): of its own answers, those that a grader finds better.

Read ``train`` from top to bottom. In every step the present model answers some prompts several times; each answer is
held against the others to its prompt. It knows prompts, items and graders by their spec. It does not know exams, nor
what the grader looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from feilun.compute import say
from feilun.engines.adapters import Factors
from feilun.engines.prompts import Prompter
from feilun.engines.seam import Request
from feilun.errors import BadRequest, TooFewSamples
from feilun.grading import check
from feilun.records import JSON, content_hash
from feilun.training.loop import finish, fit
from feilun.training.plan import Plan, read_lines
from feilun.training.preference.begin import LOW_BYTES, new_policy, parameters
from feilun.training.preference.losses import advantages, grpo_loss
from feilun.training.preference.odds import Policy, learn_lower, lengths, summed
from feilun.training.preference.reading import LEAST, batches
from feilun.training.preference.rollouts import Answer, Rollouts
from feilun.training.preference.scored import Ledger, Marks, RewardModel, graded, read_reward_model
from feilun.training.preference.trees import Tree, plant, split
from feilun.training.recipes import numbers

PROMPTS = 4


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt (messages and token ids) and what its grader is told."""

    messages: tuple[JSON, ...]
    prompt: tuple[int, ...]
    item: JSON


def train(plan: Plan) -> None:
    """Run the whole recipe; raise TooFewSamples, BadRequest, BadModel or OutOfSpace."""
    grader, rewarder = plan.options.get("grader"), plan.options.get("reward_model")
    if (grader is None) == (rewarder is None):
        raise BadRequest("GRPO needs a grader or a reward_model, and not both.", "Name one.", param="grader")
    options = numbers("grpo", plan.options)
    if grader is not None:
        check(grader)
    prompter, policy = new_policy(plan)
    first = Policy(policy.decoder, _copied(policy) if plan.start else {}, policy.scale, policy.first)
    reward = read_reward_model(Path(rewarder), policy.decoder) if rewarder else None
    tasks = read_tasks(plan, prompter, round(options["max_tokens"]))
    steps = batches(plan, len(tasks), plan.batch or PROMPTS)
    ledger = Ledger(Path(plan.scratch) / "grades.jsonl")
    rollouts = Rollouts(Path(plan.base), Path(plan.scratch), prompter.template, plan.longest)

    def step(number: int) -> tuple[float, int]:
        chosen = [tasks[place] for place in steps[number]]
        rollouts.use(policy.factors, plan.rank, plan.alpha)
        answers = sampled(rollouts, chosen, options, plan.seed, number)
        marks = judged(chosen, answers, grader, reward, rollouts, plan)
        say(**ledger.note(number, marks, round(options["samples"])) | {"step": number + 1})
        return learn(policy, first, compared(chosen, answers, marks, scaled=options["scaled"] > 0), options, plan)

    try:
        state = fit(plan, parameters(policy), len(steps), step, about={"samples": len(tasks)})
    finally:
        rollouts.close()
    facts = ledger.facts()
    if facts.get("warning"):
        say(warning=facts["warning"])
    finish(plan, prompter, policy.factors, state, facts)


def read_tasks(plan: Plan, prompter: Prompter, room: int) -> list[Task]:
    """Return the prompts of the plan that leave room for an answer; raise TooFewSamples, BadRequest."""
    found, lines = list[Task](), read_lines(plan.samples)
    for number, line in enumerate(lines, 1):
        messages = line.get("prompt")
        if not isinstance(messages, list) or not messages:
            raise BadRequest(f"Line {number} has no prompt.", "A line has a prompt (messages) and an item.", "prompt")
        ids = tuple(prompter.encode(prompter.render(messages)))
        if len(ids) + room <= plan.longest:
            found.append(Task(tuple(messages), ids, dict(line.get("item") or {})))
    if len(found) < len(lines):
        say(note=f"{len(lines) - len(found)} of {len(lines)} prompts leave no room for an answer and are left out.")
    if len(found) < LEAST:
        raise TooFewSamples(
            f"{len(found)} of {len(lines)} prompts can be answered; at least {LEAST} are needed.",
            f"A prompt and its answer of {room} tokens must fit into {plan.longest}.",
        )
    return found


def sampled(
    rollouts: Rollouts, tasks: Sequence[Task], options: dict[str, float], seed: int, number: int
) -> list[list[Answer]]:
    """Return the answers of the present model to every task of step ``number``, the same for the same seed."""
    count, requests = round(options["samples"]), list[Request]()
    for place, task in enumerate(tasks):
        for index in range(count):
            drawn = int(content_hash([seed, number, place, index])[:15], 16)
            size, heat = round(options["max_tokens"]), options["temperature"]
            requests.append(Request("present", task.messages, size, temperature=heat, seed=drawn))
    found = rollouts.sample(requests)
    return [found[begin : begin + count] for begin in range(0, len(found), count)]


def judged(
    tasks: Sequence[Task],
    answers: Sequence[Sequence[Answer]],
    grader: JSON | None,
    reward: RewardModel | None,
    rollouts: Rollouts,
    plan: Plan,
) -> Marks:
    """Return the marks of all answers, in order, by the grader or else the reward model."""
    if reward is not None:
        trees = [tree for task, some in zip(tasks, answers, strict=True) for tree in _trees(task, some)]
        return Marks([value for (value,) in reward.scores(trees, plan.rows)])
    items = [task.item for task, some in zip(tasks, answers, strict=True) for _ in some]
    texts = [one.text for some in answers for one in some]
    return graded(grader or {}, items, texts, rollouts.judge)


def compared(
    tasks: Sequence[Task], answers: Sequence[Sequence[Answer]], marks: Marks, *, scaled: bool
) -> list[tuple[list[Tree], Tensor]]:
    """Return, for every task, its graded answers and how much better each is than the others."""
    found, scores = list[tuple[list[Tree], Tensor]](), iter(marks.scores)
    for task, some in zip(tasks, answers, strict=True):
        both = [(tree, value) for tree, value in zip(_trees(task, some), scores, strict=False) if value is not None]
        if both:
            rewards = torch.tensor([value for _, value in both])
            found.append(([tree for tree, _ in both], advantages(rewards, scaled=scaled)))
    return found


def learn(
    policy: Policy,
    first: Policy,
    groups: Sequence[tuple[list[Tree], Tensor]],
    options: dict[str, float],
    plan: Plan,
) -> tuple[float, int]:
    """Add the gradients of a step's answers, a mean over them of means over their tokens; return loss and tokens."""
    count, total, tokens = sum(len(trees) for trees, _ in groups), 0.0, 0
    for trees, advantage in groups:
        lower = learn_lower(policy, trees, plan.rows, LOW_BYTES)
        for places in split(trees, plan.rows, plan.micro):
            part = [trees[place] for place in places]
            forest = plant(part)
            known = lower.known(part, forest)
            with torch.no_grad():
                there = first.tokens(forest, known)
            odds = policy.tokens(forest, known)
            gain = advantage[places][forest.owner]
            each = grpo_loss(odds, odds.detach(), there, gain, options["beta"], options["clip"])
            loss = (summed(each, forest) / lengths(forest)).sum() / count
            torch.autograd.backward(loss)
            total += loss.item()
            tokens += sum(tree.rows for tree in part)
    return total, tokens


def _trees(task: Task, answers: Sequence[Answer]) -> list[Tree]:
    """One answer a tree: packed together, they share the prompt all the same, and none is masked from the others."""
    return [Tree(task.prompt, (tuple(one.tokens),)) for one in answers]


def _copied(policy: Policy) -> Factors:
    return {key: (a.detach().clone(), b.detach().clone()) for key, (a, b) in policy.factors.items()}
