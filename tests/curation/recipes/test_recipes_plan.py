"""Recipes as people write them: what is taken, and that every mistake is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from feilun.curation.recipes import find, operators, parse, ready
from feilun.errors import BadRequest


@pytest.mark.parametrize("name", ["chat", "classify", "knowledge", "preference", "pretrain"])
def test_ready_recipes_hold(name: str) -> None:
    """Every recipe that comes with us is sound, and says in both languages what it is for."""
    recipe = find(name)
    assert recipe.name == name
    assert all(recipe.about)
    assert recipe.rows


def test_every_mistake_at_once() -> None:
    """Unknown keys, operators and parameters, wrong types and values out of bounds are told together."""
    text = """
    make: soup
    colour: blue
    rows:
      - exact_copis
      - near_copies: {similarity: 7}
      - near_copies: {similarty: 0.8}
      - exact_copies: {scripts: perhaps}
      - 12
      - near_copies: [0.8]
    """
    with pytest.raises(BadRequest) as caught:
        parse(text, "wrong.yaml")
    told = caught.value.message
    for part in ("soup", "colour", "did you mean exact_copies", "above 1", "similarty", "true or false", "mapping"):
        assert part in told
    assert "8 mistakes" in told


def test_keys_given_twice_and_unknown_languages() -> None:
    """A key that is there twice, at any depth, is a mistake, and so is a language that no row can have."""
    with pytest.raises(BadRequest) as caught:
        parse("make: chat\nmake: labels\nrows:\n- near_copies: {similarity: 0.9, similarity: 0.8}", "twice.yaml")
    assert "'make' is given twice; the key 'similarity' is given twice" in caught.value.message
    for wrong in ("Chinese", "klingon", "ZH"):
        with pytest.raises(BadRequest) as caught:
            parse(f"rows: [{{language: {{only: [en, {wrong}]}}}}]", "only.yaml")
        assert "may hold only zh, " in caught.value.message
    assert parse("rows: [{language: {only: [zh-Hans, yue, en, ja, uk]}}]", "only.yaml").rows


@pytest.mark.parametrize("text", ["", "- a\n- b", "{", "rows: 3", "make: chat", "a: &a [*a]", "rows: [{}]"])
def test_what_is_no_recipe(text: str) -> None:
    """Whatever is no recipe is refused in words, with no traceback."""
    with pytest.raises(BadRequest):
        parse(text, "wrong.yaml")


def test_files_and_names(tmp_path: Path) -> None:
    """A recipe is found by its name or its file; what is neither names the choices."""
    file = tmp_path / "ours.yaml"
    file.write_text("rows: [exact_copies]", encoding="utf-8")
    assert find(str(file)).name == "ours"
    with pytest.raises(BadRequest) as caught:
        find("nosuch")
    assert "chat" in caught.value.hint
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadRequest):
        find(str(file))


def test_signature_follows_what_matters() -> None:
    """A parameter changes a recipe's signature; its name and words do not."""
    one = parse("name: a\nrows: [near_copies]", "a")
    other = parse("name: b\nabout: x\nrows: [{near_copies: {}}]", "b")
    third = parse("rows: [{near_copies: {similarity: 0.9}}]", "c")
    assert one.signature == other.signature != third.signature


def test_operators_explain_themselves() -> None:
    """Every operator, reason and parameter has words in both languages, and says where it is from."""
    found = operators()
    assert {"normalise", "personal", "near_copies", "quality"} <= set(found)
    for name, operator in found.items():
        assert operator.name == name
        assert all(operator.about), name
        assert operator.origin, name
        for words in [*operator.reasons.values(), *(each.help for each in operator.parameters.values())]:
            assert all(words), name
            assert words[0] != words[1], name
    assert set(ready()) == {"chat", "classify", "knowledge", "preference", "pretrain"}
