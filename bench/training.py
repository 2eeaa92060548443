"""Training speed: our packed LoRA step against transformers + PEFT on the same samples, in the same run.

``make bench-training`` prints a table and writes ``bench/out/training.json``. The peer is the plain way: samples padded
into batches, transformers' model, PEFT's LoRA of the same rank on the same products, bfloat16, the same optimiser.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from feilun.compute import machine, threads
from feilun.curation import curate, parse
from feilun.engines.decoder import PROJECTIONS, Decoder
from feilun.engines.models import ensure_base
from feilun.engines.prompts import Prompter
from feilun.flywheel import sample_paths
from feilun.training.lora import new_factors, pack_loss
from feilun.training.pack import Sample, encode, epoch, pack

OUT = Path(__file__).parent / "out" / "training.json"
ROWS, STEPS, RANK, ALPHA = 768, 6, 8, 16


def samples(prompter: Prompter) -> list[Sample]:
    """Return the sample organisation's question/answer pairs, encoded."""
    file = sample_paths()[0] / "faq" / "faq.xlsx"
    records = curate([parse(file.name, file.read_bytes(), "bench")]).chat
    found = [encode(prompter, record.messages, 512) for record in records]
    return [sample for sample in found if sample is not None]


def ours(base: Path, groups: list[list[Sample]]) -> float:
    """Return sample tokens a second of our step."""
    decoder = Decoder(base, torch.bfloat16)
    factors = new_factors(decoder, RANK, range(decoder.shape.layers), 0)
    parameters = [factor for pair in factors.values() for factor in pair]
    optimiser = torch.optim.AdamW(parameters, lr=1e-4)

    def step(group: list[Sample]) -> None:
        torch.autograd.backward(pack_loss(decoder, factors, ALPHA / RANK, pack(group, ROWS)))
        optimiser.step()
        optimiser.zero_grad()

    return _rate(groups, step)


def peer(base: Path, groups: list[list[Sample]]) -> float:
    """Return sample tokens a second of the plain way."""
    plain: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    model = get_peft_model(plain, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(PROJECTIONS)))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def step(group: list[Sample]) -> None:
        longest = max(len(sample.ids) for sample in group)
        ids = torch.zeros(len(group), longest, dtype=torch.long)
        seen = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        for row, sample in enumerate(group):
            size = len(sample.ids)
            ids[row, :size] = torch.tensor(sample.ids)
            seen[row, :size] = 1
            labels[row, sample.start : size] = ids[row, sample.start : size]
        torch.autograd.backward(model(input_ids=ids, attention_mask=seen, labels=labels).loss)
        optimiser.step()
        optimiser.zero_grad()

    return _rate(groups, step)


def _rate(groups: list[list[Sample]], step: Any) -> float:
    step(groups[0])  # the first step prepares kernels
    began = time.perf_counter()
    for group in groups[1 : STEPS + 1]:
        step(group)
    tokens = sum(len(sample.ids) for group in groups[1 : STEPS + 1] for sample in group)
    return tokens / (time.perf_counter() - began)


def main() -> None:
    """Measure both, print, write."""
    torch.set_num_threads(threads(0))
    base = Path(ensure_base(Path("feilun-data").absolute(), "smollm2-135m-instruct").folder)
    groups = epoch(samples(Prompter(base)), ROWS, 0)
    plain, packed = peer(base, groups), ours(base, groups)
    ratio = round(packed / plain, 2)
    row = {"figure": "training speed, ours / transformers + PEFT", "value": ratio, "must": 1.0, "reach": 2.0}
    print(f"transformers + PEFT {plain:.0f} tokens/s, ours {packed:.0f} tokens/s, ratio {ratio}")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"machine": machine(), "rows": [{**row, "met": ratio >= 1.0}]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
