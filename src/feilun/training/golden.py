"""Golden outputs: what the trainer's own tools make of a new version, for the serving engine to reproduce.

They are made by transformers and PEFT, not by our decoder, so that the check compares two makers. It knows prompts,
tokens and log-probabilities. It does not know who serves, or what happens if they differ.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from feilun.errors import BadModel

PROMPTS, LENGTH = 24, 12


def record_golden(base: Path, adapter: Path | None, questions: Sequence[str]) -> None:
    """Write ``golden.json`` into the adapter's folder (without one, the base's): how the version answers ``questions``.

    For each: the prompt (rendered by transformers with the template in the adapter's folder), greedy token ids, their
    log-probabilities (nats) and, at each place, the lead of the best token over the second best. Raises BadModel for a
    base that is not there any more.
    """
    folder = adapter or base
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(base)
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise BadModel(f"{base} is no whole model folder any more: {error}", "Fetch the model again.") from error
    model = (PeftModel.from_pretrained(model, adapter) if adapter else model).eval()
    ends = model.generation_config.eos_token_id
    rows = [_answer(model, tokenizer, template, question, ends) for question in questions[:PROMPTS]]
    fresh = folder / "golden.part"
    fresh.write_text(json.dumps({"template": template, "rows": rows}, ensure_ascii=False, indent=1), encoding="utf-8")
    fresh.replace(folder / "golden.json")


def _answer(model: Any, tokenizer: Any, template: str, question: str, ends: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(messages, chat_template=template, add_generation_prompt=True, tokenize=False)
    ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False)])
    with torch.inference_mode():
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=LENGTH,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            pad_token_id=ends[0] if isinstance(ends, list) else ends,
        )
    tokens = made.sequences[0, ids.shape[1] :].tolist()
    logprobs = torch.stack([logits[0] for logits in made.logits]).float().log_softmax(-1)
    best = logprobs.topk(2).values
    chosen = logprobs[torch.arange(len(tokens)), torch.tensor(tokens)]
    return {
        "question": question,
        "prompt": prompt,
        "tokens": tokens,
        "logprobs": [round(value, 6) for value in chosen.tolist()],
        "leads": [round(value, 6) for value in (best[:, 0] - best[:, 1]).tolist()],
    }
