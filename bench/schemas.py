"""Answers by schema and forced tool calls, whole and valid: ``python bench/schemas.py``.

Takes every schema of ``jsonschemabench`` and a sample of the calls of ``bfcl`` from ``--data``. Accepted schemas are
answered twice: by a model that knows nothing (any allowed token is as likely as another, with the real tokenizer),
which goes where no real model goes, and, for a sample, by the embedded model. What comes out is validated by another
library, formats too. Prints who was refused, and why; writes ``bench/out/schemas.json``.
"""

from __future__ import annotations

import argparse
import json
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema_rs
import torch

from feilun.compute import machine
from feilun.engines.batch import Batcher
from feilun.engines.grammar import Grammars
from feilun.engines.models import DEFAULT, ensure_base
from feilun.engines.prompts import Prompter
from feilun.engines.schema import json_grammar
from feilun.engines.seam import Delta, Request
from feilun.errors import BadRequest, FeilunError
from feilun.records import JSON
from feilun.serving.answers import read_chat
from feilun.serving.tools import Reader

OUT = Path(__file__).parent / "out" / "schemas.json"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ASK = "Write an example as JSON."
CALL_FILES = ("simple_python", "multiple", "parallel")
TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None}  # bfcl writes Python's names


@dataclass
class Tally:
    """What became of the cases of one part."""

    valid: int = 0
    invalid: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0

    def check(self, name: str, schema: Any, text: str) -> None:
        """Count an answer."""
        try:
            jsonschema_rs.validator_for(schema, validate_formats=True).validate(json.loads(text))
        except (ValueError, jsonschema_rs.ValidationError) as error:
            self.invalid.append(f"{name}: {str(error).splitlines()[0][:200]}: …{text[-80:]}")
        else:
            self.valid += 1

    def row(self, part: str, unit: str) -> JSON:
        """Return the line of the table."""
        answered = self.valid + len(self.invalid)
        share = self.valid / answered if answered else 1.0
        speed = round(self.tokens / self.seconds) if self.seconds else 0
        found = {"part": part, "unit": unit, "answered": answered, "valid": self.valid, "share": share}
        return {**found, "refused": self.refused, "invalid": self.invalid, "tokens_per_second": speed, "must": 1.0}


def blindly(grammars: Grammars, prompter: Prompter, size: int, grammar: str, tokens: int) -> tuple[str, int]:
    """Return an answer by chance alone, and how many tokens it has."""
    dice = torch.Generator().manual_seed(0)
    matcher, made = grammars.begin(grammar), list[int]()
    for left in range(tokens, 0, -1):
        matcher.closing(left)
        mask = matcher.mask()
        logits = torch.rand(size, generator=dice)
        token = int((logits if mask is None else logits + mask).argmax())
        if token in prompter.end_ids:
            break
        made.append(token)
        if not matcher.take(token):
            break
    return prompter.decode(made), len(made)


def by_chance(schemas: dict[str, Any], base: Path, tokens: int) -> Tally:
    """Answer every schema by chance."""
    prompter, tally = Prompter(base), Tally()
    size = prompter.tokenizer.get_vocab_size()
    grammars = Grammars(prompter, size)
    for name, schema in schemas.items():
        began = time.perf_counter()
        try:
            text, made = blindly(grammars, prompter, size, json_grammar(schema), tokens)
        except BadRequest as error:
            tally.refused[name] = error.message
            continue
        tally.seconds += time.perf_counter() - began
        tally.tokens += made
        tally.check(name, schema, text)
    return tally


def answers(batcher: Batcher, requests: dict[str, Request], tally: Tally) -> Iterator[tuple[str, str]]:
    """Give the model's answers; note who was refused."""
    heard: queue.SimpleQueue[tuple[str, Delta | FeilunError]] = queue.SimpleQueue()

    def hear(name: str, said: Delta | FeilunError) -> None:
        heard.put((name, said))

    texts: dict[str, list[str]] = {}
    began = time.perf_counter()
    for name, request in requests.items():
        try:
            batcher.submit(request, partial(hear, name))
        except BadRequest as error:
            tally.refused[name] = error.message
        else:
            texts[name] = []
    open_calls = len(texts)
    while open_calls:
        name, said = heard.get()
        if isinstance(said, FeilunError):
            raise said
        texts[name].append(said.text)
        if said.finish:
            open_calls -= 1
            tally.tokens += said.usage.completion_tokens if said.usage else 0
    tally.seconds = time.perf_counter() - began
    for name, parts in texts.items():
        yield name, "".join(parts)


def by_model(batcher: Batcher, schemas: dict[str, Any], tokens: int) -> Tally:
    """Answer schemas by the model."""
    tally, requests = Tally(), dict[str, Request]()
    for name, schema in schemas.items():
        message = {"role": "user", "content": f"{ASK}\n{json.dumps(schema)[:1500]}"}
        try:
            requests[name] = Request("base", (message,), tokens, grammar=json_grammar(schema))
        except BadRequest as error:
            tally.refused[name] = error.message
    for name, text in answers(batcher, requests, tally):
        tally.check(name, schemas[name], text)
    return tally


def proper(schema: Any) -> Any:
    """Return a schema of bfcl as JSON Schema."""
    if isinstance(schema, list):
        return [proper(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: proper(value) for name, value in schema.items()}
    kind = made.get("type")
    if isinstance(kind, str) and kind in TYPES:
        made["type"] = TYPES[kind]
        if made["type"] is None:
            del made["type"]
    return made


def tool_calls(batcher: Batcher, rows: list[JSON], tokens: int) -> Tally:
    """Force calls of the model, and check that each is of a tool there is, with arguments that conform."""
    tally, requests, parameters = Tally(), dict[str, Request](), dict[str, dict[str, Any]]()
    for row in rows:
        functions = [{**each, "parameters": proper(each["parameters"])} for each in row["function"]]
        body = {
            "model": "base",
            "messages": row["question"][0],
            "tools": [{"type": "function", "function": each} for each in functions],
            "tool_choice": "required",
            "max_tokens": tokens,
        }
        parameters[row["id"]] = {each["name"]: each["parameters"] for each in functions}
        try:
            requests[row["id"]] = read_chat(json.dumps(body).encode(), lambda _: "", 2048).requests[0]
        except BadRequest as error:
            tally.refused[row["id"]] = error.message
    for name, text in answers(batcher, requests, tally):
        reader = Reader()
        pieces = [*reader.push(text), *reader.close()]
        said = "".join(piece.text for piece in pieces)
        if said or not reader.calls:
            tally.invalid.append(f"{name}: no call: {text[:80]}")
        for call in range(reader.calls):
            own = [piece for piece in pieces if piece.call == call]
            tally.check(name, parameters[name][own[0].name], "".join(piece.arguments for piece in own))
    return tally


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="holds jsonschemabench and bfcl")
    parser.add_argument("--model", default=DEFAULT, help="base model: a name, a Hugging Face folder or a GGUF file")
    parser.add_argument("--home", type=Path, default=Path("feilun-data"), help="where prepared models are kept")
    parser.add_argument("--tokens", type=int, default=200, help="longest answer")
    parser.add_argument("--every", type=int, default=10, help="of the schemas and calls, which the model answers")
    given = parser.parse_args()
    files = sorted((given.data / "jsonschemabench" / "data").glob("*/*.json"))
    if not files:
        print(f"Skipped: there is no jsonschemabench in {given.data}. --data names the folder that holds it.")
        return 0
    schemas = {f"{file.parent.name}/{file.stem}": json.loads(file.read_text(encoding="utf-8")) for file in files}
    base = Path(ensure_base(given.home.absolute(), given.model).folder)
    batcher = Batcher(base, 16, 2048, Grammars)
    batcher.load("base", base, None)
    sample = dict(list(schemas.items())[:: given.every])
    lines: list[JSON] = []
    for name in CALL_FILES:
        file = given.data / "bfcl" / f"BFCL_v4_{name}.json"
        if file.is_file():
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            lines += rows[:: given.every * 2]
    rows = [
        by_chance(schemas, base, given.tokens).row("schemas, by chance", "answers"),
        by_model(batcher, sample, given.tokens).row("schemas, by the model", "answers"),
        tool_calls(batcher, lines, given.tokens).row("forced tool calls, by the model", "calls"),
    ]
    batcher.stop()
    for row in rows:
        print(
            f"{row['part']:<32} {row['valid']:>4} of {row['answered']} {row['unit']} valid ({100 * row['share']:.1f} %,"
            f" must 100), {len(row['refused'])} refused, {row['tokens_per_second']} tokens/s"
        )
        for name, reason in row["refused"].items():
            print(f"    refused {name}: {reason}")
        for name in row["invalid"]:
            print(f"    INVALID {name}")
    OUT.parent.mkdir(exist_ok=True)
    found = {"machine": machine(), "rows": rows}
    OUT.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if any(row["invalid"] for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
