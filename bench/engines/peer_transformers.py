"""transformers' ``generate`` in float32 as a peer, with PEFT for adapters: what all others are compared with.

Knows transformers and PEFT. Does not know what is measured.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from .peer import Call, serve


class Transformers:
    """The model, and its adapters in one PEFT model. Calls that come together are one padded batch."""

    def __init__(self, settings: dict[str, Any]) -> None:
        torch.set_num_threads(settings["threads"])
        self.model: Any = AutoModelForCausalLM.from_pretrained(settings["folder"], dtype=torch.float32)
        self.end = settings["end"]
        self.adapters = bool(settings["adapters"])
        for number, (name, adapter) in enumerate(settings["adapters"].items()):
            if number:
                self.model.load_adapter(adapter["peft"], adapter_name=name)
            else:
                self.model = PeftModel.from_pretrained(self.model, adapter["peft"], adapter_name=name)
        self.model.eval()

    def answer(self, calls: list[Call], tokens: int, ends: bool) -> list[list[int]]:
        """Answer all calls in one batch, padded on the left."""
        wide = max(len(call.ids) for call in calls)
        ids = torch.tensor([[self.end] * (wide - len(call.ids)) + call.ids for call in calls])
        mask = torch.tensor([[0] * (wide - len(call.ids)) + [1] * len(call.ids) for call in calls])
        # PEFT's name for no adapter.
        names = {"adapter_names": [call.adapter or "__base__" for call in calls]} if self.adapters else {}
        with torch.inference_mode():
            found = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=tokens,
                min_new_tokens=0 if ends else tokens,
                do_sample=False,
                pad_token_id=self.end,
                **names,
            )
        answers: list[list[int]] = found[:, wide:].tolist()
        return answers


if __name__ == "__main__":
    serve(Transformers)
