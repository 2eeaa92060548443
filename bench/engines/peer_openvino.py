"""OpenVINO GenAI's continuous batching as a peer, over the model that optimum-intel converted.

Knows openvino-genai. Does not know what is measured.

``exact`` asks for float32 throughout; otherwise everything is as the library chooses for this processor: bfloat16
where it has it, a cache of 8 bits.
"""

from __future__ import annotations

import importlib
from typing import Any

from .peer import Call, serve

CALLS, CACHE_GIB = 64, 1
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}

numpy: Any = importlib.import_module("numpy")
openvino: Any = importlib.import_module("openvino")
genai: Any = importlib.import_module("openvino_genai")


class OpenVino:
    """A pipeline; adapters are named when it is made, and again by every call."""

    def __init__(self, settings: dict[str, Any]) -> None:
        plan = genai.SchedulerConfig()
        plan.cache_size, plan.max_num_seqs, plan.enable_prefix_caching = CACHE_GIB, CALLS, False
        properties = {"INFERENCE_NUM_THREADS": settings["threads"], **(EXACT if settings["exact"] else {})}
        self.end = settings["end"]
        self.adapters = {
            name: genai.Adapter(f"{one['peft']}/adapter_model.safetensors")
            for name, one in settings["adapters"].items()
        }
        if self.adapters:
            properties["adapters"] = genai.AdapterConfig(list(self.adapters.values()))
        self.pipeline = genai.ContinuousBatchingPipeline(settings["ir"], plan, "CPU", properties)

    def answer(self, calls: list[Call], tokens: int, ends: bool) -> list[list[int]]:
        """Answer all calls at once."""
        configs = []
        for call in calls:
            config = genai.GenerationConfig()
            config.max_new_tokens, config.do_sample = tokens, False
            config.ignore_eos, config.eos_token_id = not ends, self.end
            if self.adapters:
                chosen = [self.adapters[call.adapter]] if call.adapter else []
                config.adapters = genai.AdapterConfig(chosen)
            configs.append(config)
        prompts = [openvino.Tensor(numpy.array([call.ids], dtype=numpy.int64)) for call in calls]
        return [[int(i) for i in one.m_generation_ids[0]] for one in self.pipeline.generate(prompts, configs)]


if __name__ == "__main__":
    serve(OpenVino)
