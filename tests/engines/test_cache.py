"""Known beginnings and many adapters: quicker, bounded, and never another's."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.calls import Heard, ask
from tests.models import tiny_adapter
from torch.nn import functional

from feilun.engines import batch
from feilun.engines.batch import Batcher
from feilun.engines.cache import BLOCK, Cache, Prefixes, Span
from feilun.engines.decoder import Packed
from feilun.engines.seam import Request

TEXT = "Tell me about the credit union, its members, and what they pay today for a loan. " * 2


def cached(heard: Heard) -> int:
    """Return how much of the prompt was known."""
    usage = heard.last.usage
    assert usage is not None
    return usage.cached_tokens


def counting(batcher: Batcher, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of rows of every step from now on."""
    real, rows = batcher.decoder.hidden, list[int]()

    def counted(ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        rows.append(len(ids))
        return real(ids, *rest)

    monkeypatch.setattr(batcher.decoder, "hidden", counted)
    return rows


def test_a_known_beginning_is_not_read_again(batcher: Batcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same prompt again is known but for its last block, costs as many rows less, and is answered the same."""
    first = Heard(batcher, ask(TEXT)).wait()
    rows = counting(batcher, monkeypatch)
    again = Heard(batcher, ask(TEXT)).wait()
    length = len(first.call.prompt)
    assert cached(first) == 0
    assert cached(again) == (length - 1) // BLOCK * BLOCK > 3 * BLOCK
    assert rows[0] == length - cached(again)
    assert again.tokens == first.tokens
    assert again.logprobs == pytest.approx(first.logprobs, abs=1e-4)
    assert cached(Heard(batcher, ask(TEXT, temperature=1.0, seed=5)).wait()) == 0


def test_an_answer_is_a_beginning_too(batcher: Batcher) -> None:
    """A prompt that goes on from an answer knows the answer as well."""
    first = Heard(batcher, Request("base", (), 40, prompt=TEXT, logprobs=True)).wait()
    prompter = batcher.versions["base"].prompter
    whole = first.call.prompt + first.tokens
    known = (len(whole) - 1) // BLOCK * BLOCK
    found, _ = batcher.prefixes.find(None, whole)
    assert len(found) * BLOCK == known > len(first.call.prompt)
    assert prompter.decode(first.tokens) == first.text


def test_adapters_do_not_share_beginnings(batcher: Batcher, llama: Path, adapters: dict[str, Path]) -> None:
    """A prompt known to the base is new to an adapter; unloading forgets it, and the answer stays the adapter's."""
    lonely = Batcher(llama, 1, 256)
    lonely.load("red", llama, adapters["red"])
    expected = Heard(lonely, ask(TEXT, "red")).wait().tokens
    lonely.stop()
    Heard(batcher, ask(TEXT)).wait()
    first = Heard(batcher, ask(TEXT, "red")).wait()
    assert cached(first) == 0
    assert cached(Heard(batcher, ask(TEXT, "red")).wait()) > 0
    before = batcher.prefixes.bytes
    batcher.unload("red")
    batcher.load("red", llama, adapters["red"])
    again = Heard(batcher, ask(TEXT, "red")).wait()
    assert cached(again) == 0
    assert batcher.prefixes.bytes == before
    assert again.tokens == first.tokens == expected


def test_beginnings_are_bounded_and_the_oldest_goes(llama: Path) -> None:
    """Memory stays within its limit; what was used last is still known, what was used first is not."""
    decoder = Packed(llama)
    cache = Cache(decoder.shape, 1, 64)
    cache.fit(0, 64)
    one = cache.read(0, 0, BLOCK).nbytes
    prefixes = Prefixes(6 * one)
    talks = [[number] * (2 * BLOCK) for number in range(5)]
    for tokens in talks[:3]:
        prefixes.keep(None, tokens, cache, 0)
    assert len(prefixes.find(None, talks[0])[0]) == 2
    for tokens in talks[3:]:
        prefixes.keep(None, tokens, cache, 0)
        assert prefixes.bytes == 6 * one
    assert [len(prefixes.find(None, tokens)[0]) for tokens in talks] == [2, 0, 0, 2, 2]
    prefixes.forget(None)
    assert (prefixes.bytes, len(prefixes.blocks), prefixes.roots) == (0, 0, {})


def test_logits_with_and_without_a_known_beginning(llama: Path) -> None:
    """Logits after a beginning that was copied equal those after one that was computed, within 1e-4."""
    decoder = Packed(llama)
    ids = torch.randint(0, 390, (50,), generator=torch.Generator().manual_seed(1))
    cache, prefixes = Cache(decoder.shape, 2, 64), Prefixes(1 << 20)
    with torch.inference_mode():
        whole = decoder.hidden(ids, torch.arange(50), cache.attend([], [], [Span(0, 0, 50)]))
        prefixes.keep("owner", ids.tolist(), cache, 0)
        known, following = prefixes.find("owner", ids.tolist())
        cache.write(1, torch.cat([block.content for block in known], 2))
        rest = decoder.hidden(ids[48:], torch.arange(48, 50), cache.attend([], [], [Span(1, 0, 2, 48)]))
        torch.testing.assert_close(decoder.logits(rest), decoder.logits(whole[48:]), rtol=0, atol=1e-4)
    assert following is None
    assert prefixes.find("another", ids.tolist())[0] == []


@pytest.mark.parametrize("slots", [(2, 11), (0, 1, 3, 4, 5, 7, 9, 11), tuple(range(12))], ids=["few", "gaps", "all"])
def test_a_token_sees_what_its_own_slot_holds(llama: Path, slots: tuple[int, ...]) -> None:
    """Whichever slots are asked for, attention is that of each sequence alone over its keys up to its position."""
    shape = Packed(llama).shape
    cache, draw = Cache(shape, 12, 64), torch.Generator().manual_seed(4)
    size = (shape.layers * 2, shape.kv_heads, 30, shape.head_dim)
    for slot in range(12):
        cache.write(slot, torch.randn(size, generator=draw))
    places = [5 + 2 * slot for slot in slots]
    q = torch.randn(len(slots), shape.heads, shape.head_dim, generator=draw)
    k, v = (torch.randn(len(slots), shape.kv_heads, shape.head_dim, generator=draw) for _ in range(2))
    found = cache.attend(slots, places)(1, q, k, v)
    for row, (slot, place) in enumerate(zip(slots, places, strict=True)):
        keys, values = (kept[1][cache.own(slot), : place + 1] for kept in (cache.keys, cache.values))
        assert torch.equal(keys[:, place], k[row])
        alone = functional.scaled_dot_product_attention(
            q[row][None, :, None], keys[None], values[None], enable_gqa=True
        )
        torch.testing.assert_close(found[row], alone[0, :, 0], atol=1e-5, rtol=1e-5)


def test_a_long_prompt_does_not_hold_up_streams(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an answer streams, a long prompt is read in pieces, and a short one beside it answers before it."""
    monkeypatch.setattr(batch, "BESIDE_TOKENS", 32)
    batcher = Batcher(llama, 4, 512)
    batcher.load("base", llama, None)
    rows = counting(batcher, monkeypatch)
    began = threading.Event()
    stream = Heard(batcher, ask("x", max_tokens=300), lambda delta: began.set() if delta.token else None)
    assert began.wait(30)
    first = len(rows)
    order: list[str] = []
    long = Heard(
        batcher, ask("rate " * 300, max_tokens=1), lambda delta: order.append("long") if delta.finish else None
    )
    short = Heard(batcher, ask("y", max_tokens=1), lambda delta: order.append("short") if delta.finish else None)
    for heard in (long, short, stream):
        heard.wait()
    assert max(rows[first:]) <= 32 + 3
    assert order == ["short", "long"]


def test_a_group_reads_its_prompts_at_full_size(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody streams a group, so that its first answers do not slow the reading of the other prompts."""
    monkeypatch.setattr(batch, "BESIDE_TOKENS", 4)
    batcher = Batcher(llama, 4, 512)
    batcher.load("base", llama, None)
    rows = counting(batcher, monkeypatch)
    asked = [ask(f"{number} " + TEXT * 2, max_tokens=3, group="exam", group_size=4) for number in range(4)]
    heard = [Heard(batcher, request) for request in asked]
    for one in heard:
        one.wait()
    whole = sum(len(one.call.prompt) for one in heard)
    assert whole > 2 * batch.PREFILL_TOKENS
    assert sum(size > batch.PREFILL_TOKENS - 5 for size in rows) >= whole // batch.PREFILL_TOKENS - 1
    assert len(rows) <= whole // batch.PREFILL_TOKENS + 4 + 3
    batcher.stop()


def test_thirty_two_adapters_come_and_go(llama: Path, tmp_path: Path) -> None:
    """Thirty-two adapters of many ranks answer together, each as alone, while others are loaded and unloaded."""
    batcher = Batcher(llama, 32, 256)
    batcher.load("base", llama, None)
    names = [f"adapter-{number}" for number in range(34)]
    for number, name in enumerate(names):
        layers = range(number % 2, 2)
        tiny_adapter(tmp_path / name, llama, seed=number, rank=1 + number % 5, layers=layers)
    for name in names[:32]:
        batcher.load(name, llama, tmp_path / name)
    alone = {name: Heard(batcher, ask("What is the rate?", name)).wait() for name in names[:32]}
    assert all(a.tokens != b.tokens for a, b in pairwise(alone.values()))
    together = {name: Heard(batcher, ask("What is the rate?", name)) for name in names[:32]}
    for name in names[32:]:
        batcher.load(name, llama, tmp_path / name)
        batcher.unload(name)
    for name in names[:16]:
        batcher.unload(name)
    for name, heard in together.items():
        assert heard.wait().tokens == alone[name].tokens
        assert heard.logprobs == pytest.approx(alone[name].logprobs, abs=1e-4)
    assert Heard(batcher, ask("What is the rate?", names[20])).wait().tokens == alone[names[20]].tokens
    batcher.stop()
