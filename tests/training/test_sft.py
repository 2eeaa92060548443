"""The training process: its schedule, its checkpoints, and that being killed leaves no trace in the result."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from feilun.engines.prompts import Prompter
from feilun.errors import BadRequest, TooFewSamples
from feilun.training import sft
from feilun.training.lora import answer_states
from feilun.training.pack import pack
from feilun.training.plan import Plan

MakePlan = Callable[..., Plan]
RESULTS = ("adapter_model.safetensors", "adapter_config.json", "chat_template.jinja", "golden.json")


@contextmanager
def process(plan: Plan, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run the training process; it is gone after the block."""
    file = Path(plan.scratch).parent / "plan.json"
    plan.write(file)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "feilun.training.sft", str(file)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def messages(child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield what the process says."""
    assert child.stdout is not None
    for line in child.stdout:
        yield json.loads(line)


@contextmanager
def quiet() -> Iterator[None]:
    """Pass over what PEFT uses and transformers is about to take away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def trained(plan: Plan) -> dict[str, Any]:
    """Train in this process; return the facts of the run."""
    with quiet():
        sft.train(plan)
    found: dict[str, Any] = json.loads((Path(plan.out) / "training.json").read_text())
    return found


def results(plan: Plan) -> dict[str, bytes]:
    """Return the bytes of all that a run leaves, but for its times."""
    return {name: (Path(plan.out) / name).read_bytes() for name in RESULTS}


def first_step(capsys: pytest.CaptureFixture[str]) -> int:
    """Return the step from which the run that has just ended went on."""
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return int(next(message["step"] for message in said if "samples" in message))


@pytest.mark.slow
def test_a_killed_run_ends_as_an_undisturbed_one(make_plan: MakePlan) -> None:
    """Killed at three random steps and run again: the same losses, the same bytes, no step twice."""
    calm = make_plan("calm", epochs=4)
    facts = trained(calm)
    steps = len(facts["losses"])
    killed = make_plan("killed", epochs=4)
    points = sorted(random.Random(7).sample(range(2, steps - 1), 3))
    begun: list[int] = []
    for point in points:
        with process(killed) as child:
            for message in messages(child):
                if "samples" in message:
                    begun.append(message["step"])
                if message.get("step") == point and "loss" in message:
                    child.kill()
                    break
            child.wait()
    with process(killed) as child:
        said = list(messages(child))
        assert child.wait() == 0
    assert said[-1]["done"]
    assert said[-1]["losses"] == facts["losses"]
    assert said[-1]["tokens"] == facts["tokens"]
    assert begun[0] == 0
    begun += [message["step"] for message in said if "samples" in message]
    assert len(begun) == 4
    assert all(step > 0 for step in begun[1:]), "it went on from a checkpoint"
    assert results(killed) == results(calm)
    assert not list(Path(killed.scratch).glob("*.part"))


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

    with process(plan, preexec_fn=small) as child:
        said = list(messages(child))
        assert child.wait() == 7
    assert said[-1]["failure"]["error"]["code"] == "out_of_space"
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
    facts, _ = sft.read_samples(plan, prompter)
    decoder = sft.Decoder(Path(plan.base), torch.float32)
    first = round(plan.frozen * decoder.shape.layers)
    factors = sft.new_factors(decoder, plan.rank, range(first, decoder.shape.layers), 0)
    sft.go_on_from(Path(plan.out), factors)
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
    with pytest.raises(sft.BadModel, match="another shape"):
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
    facts, _ = sft.read_samples(plan, prompter)
    assert len(facts) == 1
    assert "Who\u2028are\u0085you?" in prompter.decode(list(facts[0].ids))


def test_an_answer_that_was_cut_short_does_not_teach_to_end(make_plan: MakePlan, prompter: Prompter) -> None:
    """The end token belongs to a replayed answer that ended, not to one that reached its limit."""
    plan = make_plan()
    lines = [{"prompt": "Say one.", "answer": "one", "finish": finish} for finish in ("stop", "length")]
    Path(plan.replay).write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    _, (whole, cut) = sft.read_samples(plan, prompter)
    assert whole.ids[-1] in prompter.end_ids
    assert cut.ids == whole.ids[:-1]
    assert whole.replay
    assert cut.replay


def test_the_schedule(make_plan: MakePlan, prompter: Prompter) -> None:
    """Each pass has every sample once and its share of the replay; it is the same for the same seed."""
    plan = make_plan(facts=20, epochs=3, replay_share=0.1)
    facts, replayed = sft.read_samples(plan, prompter)
    groups = sft.schedule(plan, facts, replayed)
    drawn = [sample for group in groups for sample in group]
    assert all(drawn.count(sample) == 3 for sample in facts)
    assert sum(sample.replay for sample in drawn) == 3 * 2
    assert sft.schedule(plan, facts, replayed) == groups
    assert sft.schedule(replace(plan, seed=1), facts, replayed) != groups


def test_few_samples_get_more_passes(make_plan: MakePlan, prompter: Prompter) -> None:
    """The recipe chooses at least sixty steps, within thirty passes."""
    plan = make_plan(facts=40, epochs=0, replay_share=0.0)
    facts, replayed = sft.read_samples(plan, prompter)
    drawn = [sample for group in sft.schedule(plan, facts, replayed) for sample in group]
    assert len(sft.schedule(plan, facts, replayed)) >= 60
    assert 5 <= drawn.count(facts[0]) <= 30


def test_the_rate_warms_up_and_falls(make_plan: MakePlan) -> None:
    """It rises to its peak, then falls to a twentieth, and never below."""
    plan = make_plan(learning_rate=1.0, warmup=0.1)
    rates = [sft.rate(plan, step, 100) for step in range(100)]
    peak = rates.index(max(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 8 <= peak <= 10
    assert max(rates) == pytest.approx(1.0, abs=0.02)
    assert min(rates[peak:]) == pytest.approx(0.05)
    assert all(0 < sft.rate(plan, step, 1) <= 1 for step in range(1))
