"""Tiny random models of the kinds we serve, as Hugging Face folders: made in a second, right in all but sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM

from feilun.engines.adapters import Factors, write_adapter
from feilun.engines.decoder import Decoder

CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
WORDS = (
    "system user assistant You are a helpful assistant. The lending rate of the credit union is four per cent. "
    "What is the rate for members today? 信用社的贷款利率是百分之四。会员今天的利率是多少？谢谢。 "
)
KINDS: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def tiny_tokenizer() -> Tokenizer:
    """Return a byte-level BPE tokenizer of 400 tokens with ChatML's special ones; any text goes there and back."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[AddedToken(text, special=True) for text in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS] * 4, trainer)
    return tokenizer


def tiny_model(folder: Path, kind: str = "llama", seed: int = 0, template: str = CHATML, **config: Any) -> Path:
    """Write a random model of ``kind`` (two layers, four heads over two key heads) into ``folder``, and return that."""
    make_config, make_model = KINDS[kind]
    tokenizer = tiny_tokenizer()
    sizes = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "initializer_range": 0.25,  # wide, so that logits differ enough for one choice to be the best
        "bos_token_id": 0,
        "eos_token_id": 2,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make_model(make_config(**{**sizes, **config})).float()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name.endswith("bias"):  # they begin at zero, and would hide that they were left out
                    weight.normal_(0, 0.25)
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[0],
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[0],
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder


def tiny_adapter(
    folder: Path, base: Path, seed: int = 0, rank: int = 4, layers: range | None = None, template: str = CHATML
) -> Path:
    """Write random LoRA factors, large enough to change answers, for every projection of ``layers`` of ``base``."""
    decoder = Decoder(base, torch.float32)
    random = torch.Generator().manual_seed(seed)
    factors: Factors = {}
    for layer in layers or range(decoder.shape.layers):
        for name, weight in decoder.products[layer].items():
            out, width = weight.shape
            a, b = torch.randn(rank, width, generator=random) * 0.3, torch.randn(out, rank, generator=random) * 0.3
            factors[layer, name] = (a, b)
    write_adapter(folder, factors, rank, 2 * rank)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return folder
