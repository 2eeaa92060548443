"""Answers by grammar: whatever the model would say, what comes out conforms, and ends before the tokens do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import torch

from feilun.engines.grammar import Grammars
from feilun.engines.prompts import Prompter
from feilun.engines.schema import call_grammar, json_grammar, smallest
from feilun.errors import BadRequest
from feilun.serving.tools import Reader

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "mail": {"type": "string", "format": "email"},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 3},
        "home": {"$ref": "#/$defs/home"},
    },
    "required": ["name", "age", "tags", "home"],
    "$defs": {"home": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[A-Z]{2}-\\d+$"}]}},
}
FORMATS = ["date-time", "uuid", "ipv4", "ipv6", "uri", "hostname"]
SCHEMAS: dict[str, Any] = {
    "person": PERSON,
    "any object": None,
    "numbers": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 2.5, "maximum": 3}, "minItems": 2},
    "unbounded number": {"type": "number"},
    "steps": {"type": "integer", "multipleOf": 7, "minimum": 10},
    "a pattern anywhere": {"type": "string", "pattern": "\\d{4}-\\d{2}"},
    "formats": {
        "type": "object",
        "properties": {
            form: {"type": "string", "format": form}
            for form in ("date-time", "uuid", "ipv4", "ipv6", "uri", "hostname")
        },
        "required": ["date-time", "uuid", "ipv4", "ipv6", "uri", "hostname"],
    },
    "a tree": {
        "type": "object",
        "properties": {"v": {"type": "string"}, "kids": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["v", "kids"],
    },
    "merged": {"allOf": [{"type": "object", "properties": {"a": {"const": 1}}}, {"required": ["a"]}]},
    "either": {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "boolean"}]},
    "nothing else": {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}},
    "long text": {"type": "string", "minLength": 30},
}


@pytest.fixture(scope="module")
def prompter(llama: Path) -> Prompter:
    """Return the tokenizer of the tiny model."""
    return Prompter(llama)


@pytest.fixture(scope="module")
def grammars(prompter: Prompter) -> Grammars:
    """Return its grammars; the vocabulary is larger than the tokenizer's, as models' often are."""
    return Grammars(prompter, prompter.tokenizer.get_vocab_size() + 2)


def write(grammars: Grammars, prompter: Prompter, grammar: str, tokens: int, seed: int) -> str:
    """Return what a model that knows nothing writes: any allowed token is as likely as another."""
    random = torch.Generator().manual_seed(seed)
    matcher, made = grammars.begin(grammar), list[int]()
    for left in range(tokens, 0, -1):
        matcher.closing(left)
        mask = matcher.mask()
        logits = torch.randn(prompter.tokenizer.get_vocab_size() + 2, generator=random)
        token = int((logits if mask is None else logits + mask).argmax())
        if token in prompter.end_ids:
            return prompter.decode(made)
        made.append(token)
        if not matcher.take(token):
            return prompter.decode(made)
    return prompter.decode(made)


@pytest.mark.parametrize("name", SCHEMAS)
def test_random_answers_conform(grammars: Grammars, prompter: Prompter, name: str) -> None:
    """Any choice among the allowed tokens leads to a whole answer that conforms, also with few tokens."""
    schema = SCHEMAS[name]
    validator = jsonschema_rs.validator_for(schema or {"type": "object"}, validate_formats=True)
    least = len(json.dumps(smallest(schema or {"type": "object"}))) + 40
    for seed, tokens in enumerate((least, least + 60, 400)):
        text = write(grammars, prompter, json_grammar(schema), tokens, seed)
        validator.validate(json.loads(text))


@pytest.mark.parametrize("seed", range(6))
def test_random_calls_conform(grammars: Grammars, prompter: Prompter, seed: int) -> None:
    """Forced calls are whole, of the functions there are, with arguments that conform; one if only one is allowed."""
    functions = [("get.person", PERSON), ("clear", None)]
    for parallel in (True, False):
        tokens = 250 + 50 * seed
        text = write(grammars, prompter, call_grammar(functions, free=False, parallel=parallel), tokens, seed)
        reader = Reader()
        pieces = [*reader.push(text), *reader.close()]
        assert reader.calls == 1 or (parallel and reader.calls > 1)
        assert not any(piece.text for piece in pieces)
        for call in range(reader.calls):
            [name] = [piece.name for piece in pieces if piece.call == call and piece.name]
            arguments = json.loads("".join(piece.arguments for piece in pieces if piece.call == call))
            jsonschema_rs.validator_for(dict(functions)[name] or {"maxProperties": 0}).validate(arguments)


def test_free_answers_may_be_text_or_calls(grammars: Grammars, prompter: Prompter) -> None:
    """With the choice left to the model any text may come; once it opens a call, the call is held."""
    grammar = call_grammar([("f", {"type": "object", "properties": {}})], free=True, parallel=True)
    matcher = grammars.begin(grammar)
    for token in prompter.encode("The rate is <four> per cent."):
        assert matcher.take(token)
    mask = matcher.mask()
    assert mask is None or all(mask[end] == 0 for end in prompter.end_ids)
    matcher = grammars.begin(grammar)
    for token in prompter.encode('Wait. <tool_call>\n{"name": "f", "arguments": '):
        matcher.take(token)
    mask = matcher.mask()
    assert mask is not None
    brace = prompter.encode("{")[0]
    assert mask[brace] == 0
    assert int((mask == 0).sum()) < 5


@pytest.mark.parametrize("seed", range(8))
def test_free_answers_in_a_format(grammars: Grammars, prompter: Prompter, seed: int) -> None:
    """Where answers have a format, what comes beside it is a call; both are whole, and there is nothing third."""
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    functions = [("f", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})]
    grammar = call_grammar(functions, free=True, parallel=True, form=json_grammar(schema))
    text = write(grammars, prompter, grammar, 150 + 40 * seed, seed)
    if text.startswith("<tool_call>"):
        reader = Reader(first=True)
        pieces = [*reader.push(text), *reader.close()]
        assert reader.calls
        assert not any(piece.text for piece in pieces)
    else:
        assert isinstance(json.loads(text)["q"], str)


REFUSED: list[tuple[Any, str]] = [
    ({"not": {"type": "string"}}, "keyword not at #"),
    ({"properties": {"a": {"items": {"uniqueItems": True}}}}, "keyword uniqueItems at #/properties/a/items"),
    ({"type": "string", "format": "idn-email"}, "format 'idn-email'"),
    ({"$ref": "http://127.0.0.1/x"}, "leads out of the schema"),
    ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "endless"),
    ({"type": "array", "minItems": 10**9}, "minItems"),
    ({"enum": [f"value number {n}" for n in range(20_000)]}, "bytes"),
    (["object"], "JSON object"),
    (False, "JSON object"),
    ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
    ({"type": "string", "pattern": "("}, "enforced"),
    ({"type": "wrong"}, "wrong"),
    ({"$ref": "#/nowhere"}, "nowhere"),
]


@pytest.mark.parametrize(("schema", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_cannot_be_enforced_is_refused(grammars: Grammars, schema: Any, reason: str) -> None:
    """The message names what is not supported, and the parameter."""
    with pytest.raises(BadRequest) as refused:
        grammars.begin(json_grammar(schema))
    assert reason in refused.value.message
    assert refused.value.param == "response_format"


def test_deep_schemas_are_refused() -> None:
    """However deep a schema is, the answer is a plain error."""
    schema: Any = {}
    for _ in range(5000):
        schema = {"items": schema}
    with pytest.raises(BadRequest, match="deeper than"):
        json_grammar(schema)


def test_names_of_properties_are_no_keywords(grammars: Grammars, prompter: Prompter) -> None:
    """A property may be called ``not``; a bound of nothing is no bound."""
    schema = {"type": "object", "properties": {"not": {"type": "null"}}, "required": ["not"], "uniqueItems": False}
    assert json.loads(write(grammars, prompter, json_grammar(schema), 60, 0)) == {"not": None}


@pytest.mark.parametrize("name", SCHEMAS)
def test_smallest_instances_conform(name: str) -> None:
    """The smallest instance of a schema without patterns conforms to it."""
    schema = SCHEMAS[name] or {"type": "object"}
    if "pattern" not in json.dumps(schema):
        jsonschema_rs.validator_for(schema, validate_formats=True).validate(smallest(schema))
