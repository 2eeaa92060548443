"""Questions with free answers: spans of a passage, numbers, formulas, rubrics, code with tests, calls of tools.

This module knows the shapes that such exams come in, and which grader each needs. It does not know multiple choice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from feilun.evaluation.formats import fields as naming
from feilun.evaluation.formats.gradable import readable
from feilun.evaluation.formats.rows import Row
from feilun.records import JSON

_NUMERIC = re.compile(
    r"\s*[$¥€£]?\s*\(?[-+−]?\s*[$¥€£]?\s*[\d,]*\.?\d+(?:/\d+)?\)?\s*(?:%|％|‰|万|亿|million|billion|thousand|percent|元|人|个|年)?\s*",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"\\[a-zA-Z]+|\$|\^|√|[²³]|[a-z]\s*=|\d\s*[+*/]\s*[\da-z(]")
GRADERS = ("contains", "exact", "f1", "math", "numeric")


class Free(NamedTuple):
    """A question with a free answer: what is asked, accepted texts, the grader, and what else the item keeps."""

    row: Row
    question: str
    accept: tuple[str, ...]
    grader: JSON
    more: JSON


def flattened(rows: list[Row]) -> list[Row]:
    """Return rows with what they nest spread out: SQuAD's and CMRC's passages, TAT-QA's tables."""
    found: list[Row] = []
    for row in rows:
        inner = list(_nested(row))
        found += inner or [row]
    return found


def _nested(row: Row) -> Iterator[Row]:
    fields = row.fields
    for passage in fields.get("paragraphs") or [] if "qas" not in fields else [fields]:
        if isinstance(passage, dict) and isinstance(passage.get("qas"), list):
            text = passage.get("context", passage.get("context_text", ""))
            cluster = str(passage.get("id", passage.get("context_id", fields.get("title", row.line))))
            for each in passage["qas"]:
                if isinstance(each, dict):
                    yield Row(row.file, row.line, {**each, "context": text, "cluster": cluster})
    if isinstance(fields.get("questions"), list) and isinstance(fields.get("table"), dict):
        table = fields["table"].get("table", [])
        lines = [" | ".join(naming.said(cell) for cell in cells) for cells in table if isinstance(cells, list)]
        lines += [naming.said(each) for each in fields.get("paragraphs", [])]
        for each in fields["questions"]:
            if isinstance(each, dict):
                yield Row(
                    row.file,
                    row.line,
                    {**each, "context": "\n".join(lines), "cluster": str(fields["table"].get("uid", row.line))},
                )


def free(row: Row, wanted: str = "") -> Free | str:
    """Return a row as a question with a free answer, or what is wrong with it; ``wanted`` names another grader."""
    found = _tools(row) or _code(row)
    if found is not None:
        return found
    named = _named(row.fields)
    if isinstance(named, str):
        if named and named not in GRADERS:
            return f"its grader {named[:60]!r} is none of {', '.join(GRADERS)}, nor an object with a type"
        wanted = named or wanted
    if (found := _own(row, named, wanted)) is not None:
        return found
    name = naming.find(row.fields, naming.QUESTION)
    question = naming.said(row.fields.get(name))
    if not question:
        return "it has no question"
    left = {key: value for key, value in row.fields.items() if key != name}
    more: JSON = {}
    passage = naming.find(left, naming.PASSAGE)
    if passage and (text := naming.said(left.pop(passage))):
        question = f"{text}\n\n{question}"
        more["cluster"] = str(left.get("cluster") or row.line)
    rubric = naming.literal(
        left.get(naming.find(left, ("rubric", "rubrics", "criteria", "marking", "评分标准", "评分细则")))
    )
    answer = left.get(naming.find(left, (*naming.GOLD, *naming.REFERENCE)))
    texts = _texts(answer)
    if rubric:
        return _marked(row, question, rubric, texts, more)
    if not texts:
        return "it has no answer to compare with"
    grader = _grader(texts, left, wanted, spans=bool(passage) and "answer_type" not in left)
    return Free(row, question, tuple(texts), grader, more)


def _texts(value: Any) -> list[str]:
    value = naming.literal(value)
    if isinstance(value, dict):
        value = value.get("text", value.get("aliases", value.get("value", "")))
    each = value if isinstance(value, list) else [value]
    # A list in a list is one answer's other names.
    texts = [naming.said(one) for group in each for one in (group if isinstance(group, list) else [group])]
    return list(dict.fromkeys(text for text in texts if text))


def _grader(texts: list[str], fields: JSON, wanted: str, *, spans: bool) -> JSON:
    scale = str(fields.get("scale") or "")
    if wanted == "contains":
        return {"type": "contains", "accept": texts}
    if wanted:
        return {"type": wanted, "reference": texts}
    if fields.get("answer_type") == "multi-span":
        return {"type": "f1", "reference": " ".join(texts)}
    if (scale or not spans) and all(_NUMERIC.fullmatch(text) and readable(text) for text in texts):
        # With a scale ("thousand") an answer may be given as it is written, or in full.
        power = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "percent": 0.01}.get(scale, 1.0)
        full = [float(readable(text)[-1].value) * power for text in texts] if power != 1.0 else []
        return {"type": "numeric", "reference": [*texts, *full], "relative": 1e-4 if scale else 1e-6}
    if all(_FORMULA.search(text) and len(text) < 200 for text in texts) and not spans:
        return {"type": "math", "reference": texts}
    if spans:
        return {"type": "f1", "reference": texts}
    short = all(len(text) <= 60 for text in texts) and any(any(c.isalnum() for c in text) for text in texts)
    return {"type": "contains", "accept": texts} if short else {"type": "f1", "reference": texts, "pass_threshold": 0.5}


def _marked(row: Row, question: str, rubric: Any, texts: list[str], more: JSON) -> Free | str:
    lines = rubric if isinstance(rubric, list) else [line.strip(" -*•\t") for line in str(rubric).splitlines()]
    criteria: list[JSON] = []
    for line in lines:
        text = naming.said(
            line.get("criterion", line.get("text", line.get("description", ""))) if isinstance(line, dict) else line
        )
        points = line.get("points", line.get("score", line.get("weight", 1.0))) if isinstance(line, dict) else 1.0
        if text:
            criteria.append({"text": text, "points": float(points) if isinstance(points, int | float) else 1.0})
    if not any(each["points"] > 0 for each in criteria):
        return "its rubric has no line that is worth points"
    grader = {"type": "rubric", "criteria": criteria, "reference": texts[0] if texts else ""}
    return Free(row, question, tuple(texts) or (criteria[0]["text"],), grader, more)


def _named(fields: JSON) -> JSON | str:
    """Return the grader that a row brings along: an object, or a name; empty if it brings none."""
    own = naming.literal(fields.get("grader"))
    return (
        own if isinstance(own, dict) else naming.said(own) if isinstance(own, str) else json.dumps(own) if own else ""
    )


def _own(row: Row, named: JSON | str, wanted: str) -> Free | str | None:
    """Rows of our own form: question, accept, reject, perhaps a grader."""
    fields = row.fields
    question = naming.said(fields.get(naming.find(fields, naming.QUESTION)))
    accepted, rejected = naming.find(fields, naming.ACCEPT), naming.find(fields, naming.REJECT)
    given = fields.get(accepted or naming.find(fields, (*naming.GOLD, *naming.REFERENCE)))
    if isinstance(named, dict):
        return Free(row, question, tuple(_texts(given)) or ("-",), named, {}) if question else "it has no question"
    if not accepted and not rejected:
        return None
    if not question:
        return "it has no question"
    accept, reject = _several(given), _several(fields.get(rejected))
    if not accept:
        return "it accepts no text"
    grader: JSON = {"type": "contains", "accept": accept, "reject": reject}
    if wanted and wanted != "contains":
        if reject:
            return f"the grader {wanted} knows no rejected texts"
        grader = {"type": wanted, "reference": accept}
    return Free(row, question, tuple(accept), grader, {"reject": reject})


def _several(value: Any) -> list[str]:
    """Return texts that a cell holds, apart by ``|``: as an exam among the files of a turn has them."""
    parts = [part.strip() for text in _texts(value) for part in re.split(r"[|｜]", text)]
    return list(dict.fromkeys(part for part in parts if part))


def _code(row: Row) -> Free | str | None:
    """HumanEval's, MBPP's and alike: tests as a program, as a list of assertions, or as inputs and outputs."""
    fields = row.fields
    listed = naming.literal(fields.get("test_list"))
    pairs = naming.literal(fields.get("input_output", fields.get("io")))
    test = fields.get("test", fields.get("tests"))
    entry = str(fields.get("entry_point") or "")
    prompt = naming.said(fields.get("prompt") or fields.get("text") or fields.get("question") or fields.get("problem"))
    if isinstance(listed, list) and listed:
        setup = str(fields.get("test_setup_code") or "")
        tests: Any = "\n".join([setup, *map(str, listed)]).strip()
        prompt = f"{prompt}\nYour program must pass:\n" + "\n".join(map(str, listed[:3]))
    elif isinstance(pairs, dict) and isinstance(pairs.get("inputs"), list) and isinstance(pairs.get("outputs"), list):
        tests = [
            {"input": _line(a), "output": _line(b)} for a, b in zip(pairs["inputs"], pairs["outputs"], strict=False)
        ]
    elif isinstance(naming.literal(test), list) and all(
        isinstance(one, dict) and {"input", "output"} <= one.keys() for one in naming.literal(test)
    ):
        tests = [{"input": _line(one["input"]), "output": _line(one["output"])} for one in naming.literal(test)]
    elif isinstance(test, str) and ("assert" in test or "def check" in test):
        tests = test
    else:
        return None
    if not prompt or not tests:
        return "it has no task or no test"
    grader: JSON = {"type": "code", "tests": tests, "entry": entry}
    raw = fields.get("prompt")
    if entry and isinstance(raw, str) and f"def {entry}" in raw:
        grader["prefix"] = raw
        prompt = f"Complete this Python function. Answer with the whole function in one code block.\n\n{raw}"
    solution = naming.said(fields.get("canonical_solution") or fields.get("code") or fields.get("solution") or "-")
    return Free(row, prompt, (solution or "-",), grader, {"tokens": 512})


def _line(value: Any) -> str:
    return value if isinstance(value, str) else "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _tools(row: Row) -> Free | str | None:
    """BFCL's, and rows with tools and wanted calls in OpenAI's shape."""
    functions = row.fields.get("function", row.fields.get("functions", row.fields.get("tools")))
    if not isinstance(functions, list) or not all(isinstance(each, dict) for each in functions):
        return None
    turns = row.fields.get("question", row.fields.get("messages", row.fields.get("input")))
    if isinstance(turns, list) and turns and isinstance(turns[0], list):
        turns = turns[0]  # one turn is asked; several are an exam of another kind
    messages = turns if isinstance(turns, list) else [{"role": "user", "content": naming.said(turns)}]
    calls = row.fields.get("ground_truth", row.fields.get("possible_answer", row.fields.get("expected_calls")))
    if calls is None and "irrelevance" not in row.file:
        return "no call is named that would be right (ground_truth, or a file of the same name in possible_answer/)"
    wanted: list[JSON] = []
    for call in calls or []:
        if not isinstance(call, dict):
            return "a wanted call is not an object"
        if isinstance(call.get("name"), str):
            arguments = {key: [value] for key, value in (call.get("arguments") or {}).items()}
            wanted.append({"name": call["name"], "arguments": arguments})
        else:
            wanted += [
                {"name": name, "arguments": {k: v if isinstance(v, list) else [v] for k, v in given.items()}}
                for name, given in call.items()
            ]
    tools = [_tool(each) for each in functions]
    question = "\n".join(naming.said(each) for each in messages)
    grader = {"type": "tool_call", "reference": wanted}
    return Free(
        row,
        question,
        (wanted[0]["name"] if wanted else "-",),
        grader,
        {"messages": messages, "tools": tools, "tokens": 256},
    )


def _tool(each: JSON) -> JSON:
    """Return a function as OpenAI's tool: names without dots, types as JSON Schema has them."""
    body = each.get("function", each)
    name = re.sub(r"[^\w-]", "_", str(body.get("name", "")))[:64]
    return {"type": "function", "function": {**body, "name": name, "parameters": _schema(body.get("parameters", {}))}}


def _schema(value: Any) -> Any:
    names = {
        "dict": "object",
        "float": "number",
        "tuple": "array",
        "any": "string",
        "list": "array",
        "int": "integer",
        "bool": "boolean",
    }
    if isinstance(value, dict):
        return {
            key: names.get(each, each) if key == "type" and isinstance(each, str) else _schema(each)
            for key, each in value.items()
        }
    return [_schema(each) for each in value] if isinstance(value, list) else value
