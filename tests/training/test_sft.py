"""The training process: its schedule, its checkpoints, and that being killed leaves no trace in the result."""

from __future__ import annotations

import json
import random
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from tests.training.invariants import assert_restart_leaves_no_trace, quiet, results, trained
from tests.training.processes import running, said
from transformers import AutoModelForCausalLM

from feilun.engines.decoder import Decoder
from feilun.engines.prompts import Prompter
from feilun.errors import BadModel, BadRequest, TooFewSamples
from feilun.training import loop
from feilun.training.learning import read_replay, schedule
from feilun.training.lora import answer_states, go_on_from, new_factors
from feilun.training.methods import sft
from feilun.training.pack import Sample, pack
from feilun.training.plan import Plan

MakePlan = Callable[..., Plan]


def read(plan: Plan, prompter: Prompter) -> tuple[list[Sample], list[Sample]]:
    """Return the samples of a plan, and what is replayed."""
    return sft.read_chats(plan, prompter, plan.samples), read_replay(plan, prompter)


def first_step(capsys: pytest.CaptureFixture[str]) -> int:
    """Return the step from which the run that has just ended went on."""
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return int(next(message["step"] for message in said if "samples" in message))


@pytest.mark.slow
def test_a_killed_run_ends_as_an_undisturbed_one(make_plan: MakePlan) -> None:
    """Killed at three random steps and run again: the same losses, the same bytes, no step twice."""
    points = sorted(random.Random(7).sample(range(2, 10), 3))
    assert_restart_leaves_no_trace(make_plan("calm", epochs=4), make_plan("killed", epochs=4), points)


def test_the_same_plan_gives_the_same_adapter(make_plan: MakePlan) -> None:
    """Two runs agree byte for byte; another seed gives another adapter; the loss falls."""
    one, two, other = make_plan("one"), make_plan("two"), make_plan("other", seed=1)
    facts = trained(one)
    assert trained(two)["losses"] == facts["losses"]
    assert results(two) == results(one)
    trained(other)
    assert results(other)["adapter_model.safetensors"] != results(one)["adapter_model.safetensors"]
    assert facts["losses"][-1] < facts["losses"][0]


def test_a_damaged_checkpoint_is_not_trusted(make_plan: MakePlan, capsys: pytest.CaptureFixture[str]) -> None:
    """Cut anywhere or filled with rubbish, it is passed over with a message, and the run begins again."""
    plan = make_plan()
    facts, before = trained(plan), results(plan)
    checkpoint = Path(plan.scratch) / "checkpoint.pt"
    whole = checkpoint.read_bytes()
    capsys.readouterr()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-40], b"rubbish", torch_bytes(checkpoint, [1, 2])):
        checkpoint.write_bytes(damaged)
        assert trained(plan)["losses"] == facts["losses"]
        said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert any("damaged" in message.get("note", "") for message in said)
        assert next(message["step"] for message in said if "samples" in message) == 0
        assert results(plan) == before


def torch_bytes(place: Path, content: object) -> bytes:
    """Return ``content`` as torch saves it."""
    torch.save(content, place)
    return place.read_bytes()


def test_a_checkpoint_of_another_plan_is_left_alone(make_plan: MakePlan, capsys: pytest.CaptureFixture[str]) -> None:
    """Other settings, or other samples in the same file, begin from nothing; the same ones do not."""
    plan = make_plan()
    trained(plan)
    changed = replace(plan, learning_rate=1e-3)
    samples = Path(plan.samples)
    for begin, each in ((len(trained(plan)["losses"]), plan), (0, changed)):
        capsys.readouterr()
        trained(each)
        assert first_step(capsys) == begin
    samples.write_text(samples.read_text().replace("crowns", "pounds"))
    capsys.readouterr()
    trained(changed)
    assert first_step(capsys) == 0


def test_a_full_disk_is_named_and_leaves_nothing_half_written(make_plan: MakePlan) -> None:
    """Where the checkpoint does not fit, the process ends with OutOfSpace; run again with room, it is whole."""
    plan = make_plan()

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    with running(plan, preexec_fn=small) as child:
        told = list(said(child))
        assert child.wait() == 7
    assert told[-1]["failure"]["error"]["code"] == "out_of_space"
    assert not (Path(plan.scratch) / "checkpoint.pt").exists()
    assert not Path(plan.out).exists()
    assert trained(plan)["losses"] == trained(make_plan("calm"))["losses"]


def test_peft_loads_what_was_written(make_plan: MakePlan, prompter: Prompter) -> None:
    """The adapter that PEFT loads gives the logits that training had."""
    plan = make_plan(rank=3, alpha=9)
    trained(plan)
    model: Any = AutoModelForCausalLM.from_pretrained(plan.base, dtype=torch.float32)
    with quiet():
        model = PeftModel.from_pretrained(model, plan.out).eval()
    facts, _ = read(plan, prompter)
    decoder = Decoder(Path(plan.base), torch.float32)
    first = round(plan.frozen * decoder.shape.layers)
    factors = new_factors(decoder, plan.rank, range(first, decoder.shape.layers), 0)
    go_on_from(Path(plan.out), factors)
    with torch.no_grad():
        ours = decoder.logits(answer_states(decoder, factors, 3.0, pack(facts[:1])))
        theirs = model(torch.tensor([facts[0].ids])).logits[0, facts[0].start - 1 : -1]
        bare = decoder.logits(answer_states(decoder, {}, 3.0, pack(facts[:1])))
    torch.testing.assert_close(ours[: len(theirs)], theirs, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ours, bare, atol=1e-2)


def test_golden_outputs_are_enough_even_of_few_samples(make_plan: MakePlan) -> None:
    """Ten samples still give more than twenty different prompts."""
    plan = make_plan(facts=10, epochs=1)
    trained(plan)
    rows = json.loads((Path(plan.out) / "golden.json").read_text())["rows"]
    assert len({row["question"] for row in rows}) == len(rows) >= 20
    assert all(len(row["tokens"]) == len(row["logprobs"]) == len(row["leads"]) > 0 for row in rows)


def test_a_run_goes_on_from_an_adapter(make_plan: MakePlan) -> None:
    """It begins where the other ended, not at the base model; an adapter of another shape is refused."""
    first = make_plan("first", epochs=6)
    facts = trained(first)
    second = make_plan("second", epochs=6, start=first.out, seed=0)
    assert trained(second)["losses"][0] < facts["losses"][0]
    with pytest.raises(BadModel, match="another shape"):
        trained(make_plan("third", start=first.out, rank=2))


def test_a_rate_beyond_all_bounds_is_refused(make_plan: MakePlan) -> None:
    """A run whose loss is no number any more says so, and writes no adapter."""
    plan = make_plan(learning_rate=1e30)
    with pytest.raises(BadRequest, match="left all bounds"):
        trained(plan)
    assert not Path(plan.out).exists()


def test_samples_that_do_not_fit(make_plan: MakePlan) -> None:
    """Samples that are all too long are no samples."""
    with pytest.raises(TooFewSamples, match="fits into 20 tokens"):
        trained(make_plan(longest=20))


def test_texts_keep_their_line_separators(make_plan: MakePlan, prompter: Prompter) -> None:
    """U+2028 and U+0085 in a text do not cut its line in two."""
    plan = make_plan()
    said = [{"role": "user", "content": "Who\u2028are\u0085you?"}, {"role": "assistant", "content": "Me."}]
    Path(plan.samples).write_text(json.dumps({"messages": said}, ensure_ascii=False) + "\n")
    facts, _ = read(plan, prompter)
    assert len(facts) == 1
    assert "Who\u2028are\u0085you?" in prompter.decode(list(facts[0].ids))


def test_an_answer_that_was_cut_short_does_not_teach_to_end(make_plan: MakePlan, prompter: Prompter) -> None:
    """The end token belongs to a replayed answer that ended, not to one that reached its limit."""
    plan = make_plan()
    lines = [{"prompt": "Say one.", "answer": "one", "finish": finish} for finish in ("stop", "length")]
    Path(plan.replay).write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    _, (whole, cut) = read(plan, prompter)
    assert whole.ids[-1] in prompter.end_ids
    assert cut.ids == whole.ids[:-1]
    assert whole.replay
    assert cut.replay


def test_the_schedule(make_plan: MakePlan, prompter: Prompter) -> None:
    """Each pass has every sample once and its share of the replay; it is the same for the same seed."""
    plan = make_plan(facts=20, epochs=3, replay_share=0.1)
    facts, replayed = read(plan, prompter)
    groups = schedule(plan, facts, replayed)
    drawn = [sample for group in groups for sample in group]
    assert all(drawn.count(sample) == 3 for sample in facts)
    assert sum(sample.replay for sample in drawn) == 3 * 2
    assert schedule(plan, facts, replayed) == groups
    assert schedule(replace(plan, seed=1), facts, replayed) != groups


def test_few_samples_get_more_passes(make_plan: MakePlan, prompter: Prompter) -> None:
    """The recipe chooses at least sixty steps, within thirty passes."""
    plan = make_plan(facts=40, epochs=0, replay_share=0.0)
    facts, replayed = read(plan, prompter)
    drawn = [sample for group in schedule(plan, facts, replayed) for sample in group]
    assert len(schedule(plan, facts, replayed)) >= 60
    assert 5 <= drawn.count(facts[0]) <= 30


def test_the_rate_warms_up_and_falls(make_plan: MakePlan) -> None:
    """It rises to its peak, then falls to a twentieth, and never below."""
    plan = make_plan(learning_rate=1.0, warmup=0.1)
    rates = [loop.rate(plan, step, 100) for step in range(100)]
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 8 <= peak <= 10
    assert max(rates) == pytest.approx(1.0, abs=0.02)
    assert min(rates[peak:]) == pytest.approx(0.05)
    assert all(0 < loop.rate(plan, step, 1) <= 1 for step in range(1))
