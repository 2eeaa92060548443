"""Answers as they grow: whole characters, nothing of a stop text, and nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feilun.engines.prompts import Prompter, Stops, TextStream
from feilun.engines.schema import call_grammar, json_grammar

ALPHABET = "ab率利🙂é \n"


@pytest.fixture(scope="module")
def prompter(llama: Path) -> Prompter:
    """Return the tiny model's tokenizer."""
    return Prompter(llama)


def stream(prompter: Prompter, ids: list[int], stop: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    """Return the pieces of an answer and whether a stop text ended it."""
    text, pieces = TextStream(prompter, stop), []
    for token in ids:
        piece, stopped = text.push(token)
        pieces.append(piece)
        if stopped:
            return [*pieces, text.close()], True
    return [*pieces, text.close()], False


def expected(prompter: Prompter, ids: list[int], stop: tuple[str, ...]) -> tuple[str, bool]:
    """Return, the plain way, the text up to the first stop text that was completed."""
    for end in range(1, len(ids) + 1):
        text = prompter.decode(ids[:end])
        places = [text.find(one) for one in stop if one and one in text]
        if places:
            return text[: min(places)], True
    return prompter.decode(ids), False


def test_characters_of_several_tokens_come_whole(prompter: Prompter) -> None:
    """Chinese characters and emoji that take several tokens appear whole or not at all."""
    text = "龘 率 🙂 👩‍👩‍👧 é ok"
    ids = prompter.encode(text)
    assert len(ids) > len(text)
    pieces, _ = stream(prompter, ids)
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert pieces.count("") > 5


def test_a_cut_character_shows_only_at_the_end(prompter: Prompter) -> None:
    """An answer that ends inside a character keeps it back to the last moment."""
    ids = prompter.encode("ok 🙂")[:-1]
    text = TextStream(prompter, ())
    said = "".join(text.push(token)[0] for token in ids)
    assert said == "ok "
    assert text.close() == "\ufffd"


def test_what_might_be_a_stop_text_is_held_back(prompter: Prompter) -> None:
    """The beginning of a stop text is said only once it turns out to be none."""
    text = TextStream(prompter, ("STOP",))
    said = [text.push(token)[0] for part in ("a", "S", "T", "O", "x") for token in prompter.encode(part)]
    assert said == ["a", "", "", "", "STOx"]
    held = TextStream(prompter, ("STOP",))
    for token in prompter.encode("S"):
        held.push(token)
    assert held.close() == "S"
    assert held.close() == ""


def test_an_empty_stop_text_stops_nothing(prompter: Prompter) -> None:
    """An empty stop text is as good as none."""
    assert stream(prompter, prompter.encode("ab"), ("",)) == (["a", "b", ""], False)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(ALPHABET, max_size=24),
    stop=st.lists(st.text(ALPHABET, max_size=4), max_size=3),
    cut=st.integers(0, 3),
)
def test_pieces_are_the_text_up_to_the_first_stop(prompter: Prompter, text: str, stop: list[str], cut: int) -> None:
    """Whatever the text, the stop texts and the tokens: the pieces joined are the text up to the first stop."""
    ids = prompter.encode(text)
    ids = ids[: len(ids) - cut] if cut else ids
    pieces, stopped = stream(prompter, ids, tuple(stop))
    assert ("".join(pieces), stopped) == expected(prompter, ids, tuple(stop))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(st.integers(0, 397), max_size=30))
def test_any_tokens_give_their_text(prompter: Prompter, ids: list[int]) -> None:
    """Even tokens that are no text, as random models make, come out as what they decode to."""
    assert "".join(stream(prompter, ids)[0]) == prompter.decode(ids)


CALLS = call_grammar([("f", None)], free=True, parallel=True)
FORMED = call_grammar([("f", None)], free=True, parallel=True, form=json_grammar())


@pytest.mark.parametrize("size", [1, 3, 50])
@pytest.mark.parametrize(
    ("grammar", "text", "said", "met"),
    [
        (CALLS, "a<b", "a", "<"),
        (CALLS, "a <tool_x", "a ", "<"),
        (CALLS, "a <tool_call>\n<", "a <tool_call>\n<", ""),
        (CALLS, "a>b<tool_call>", "a", ">"),
        (CALLS, "a <tool_", "a ", "<"),
        (FORMED, "<tool_call>\n<", "<tool_call>\n<", ""),
        (FORMED, '{"a": "<tool_call>"', '{"a": "', "<"),
        (FORMED, "<tool_", "", "<"),
        ("", "a <tool_call>", "a ", "<"),
    ],
)
def test_stop_texts_end_text_alone(grammar: str, text: str, said: str, met: str, size: int) -> None:
    """A stop text counts before a call opens, and where none opens after all; within calls it never does."""
    stops, given, out = Stops(("<", ">"), grammar), 0, ""
    for end in range(size, len(text) + size, size):
        place = stops.certain(text[:end], given)
        out, given = out + text[given:place], place
        if stops.met:
            break
    out += "" if stops.met else text[given : stops.certain(text, given, over=True)]
    assert (out, stops.met) == (said, met)
