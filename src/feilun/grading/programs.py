"""Graders that run programs: OpenAI's ``python``, and code that must pass its tests. Both run shut in.

This module knows what is run and what counts as passed. It does not know how a program is shut in.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any, Literal

import msgspec

from feilun.errors import EngineDown, UpstreamTimeout
from feilun.grading.sandbox import ask
from feilun.grading.seam import Case, Grade, right_or_wrong
from feilun.grading.strings import OUTPUT

LONGEST_SOURCE = 256_000
_FENCED = re.compile(r"```(?:python|py|python3)?[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL | re.IGNORECASE)


class Python(msgspec.Struct, tag="python", forbid_unknown_fields=True):
    """OpenAI's grader of this name: ``source`` defines ``grade(sample, item)``, which returns a score from 0 to 1.

    ``image_tag`` is accepted; the program runs with this installation's Python and libraries.
    """

    source: str
    image_tag: str = ""
    pass_threshold: float = 1.0
    seconds: float = 10.0
    name: str = ""

    def __post_init__(self) -> None:
        _check_source(self.source, self.seconds)
        try:
            body = ast.parse(self.source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"source is not Python: {error}") from error
        if not any(isinstance(each, ast.FunctionDef) and each.name == "grade" for each in body):
            raise ValueError("source must define grade(sample, item)")

    async def grade(self, case: Case) -> Grade:
        """Call the function."""
        payload = {"source": self.source, "item": _plain(case.item), "sample": _plain(case.sample)}
        found = await ask("python", payload, self.seconds)
        score = found.get("score")
        if not isinstance(score, int | float):
            return Grade(0.0, False, error=f"grade() returned {found.get('said', 'nothing')}, not a number.")
        return Grade(float(score), float(score) >= self.pass_threshold, f"grade() returned {score:g}.")


def _check_source(source: str, seconds: float) -> None:
    if not source.strip() or len(source) > LONGEST_SOURCE:
        raise ValueError(f"source must have 1 to {LONGEST_SOURCE} characters")
    if not 0 < seconds <= 60:
        raise ValueError("seconds must be above 0 and at most 60")


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


class Io(msgspec.Struct, forbid_unknown_fields=True):
    """What a program is given, and what it must print; spaces at the ends of lines do not count."""

    input: str
    output: str


class Code(msgspec.Struct, tag="code", forbid_unknown_fields=True):
    """The answer's program passes its ``tests``: Python that raises where something is wrong, or what it must print.

    ``prefix`` stands before the answer (a signature that it completes). The program is the answer's last code block,
    or the whole answer. It has no network, no other process, a folder of its own, bounded memory and time.
    """

    tests: str | list[Io]
    prefix: str = ""
    entry: str = ""
    seconds: float = 10.0
    memory_mb: int = 512
    language: Literal["python"] = "python"
    input: str = OUTPUT
    name: str = ""

    def __post_init__(self) -> None:
        _check_source(self.tests if isinstance(self.tests, str) else "pass" * bool(self.tests), self.seconds)
        if not 16 <= self.memory_mb <= 4096:
            raise ValueError("memory_mb must be 16 to 4096")

    async def grade(self, case: Case) -> Grade:
        """Run it."""
        source = program(case.fill(self.input), self.prefix)
        tests = (
            self.tests if isinstance(self.tests, str) else [{"input": t.input, "output": t.output} for t in self.tests]
        )
        payload = {"source": source, "tests": tests, "entry": self.entry}
        try:
            found = await ask("code", payload, self.seconds, self.memory_mb << 20)
        except UpstreamTimeout:
            return Grade(0.0, False, f"It took more than {self.seconds:g} seconds.")
        except EngineDown as error:
            return Grade(0.0, False, error.message)
        return right_or_wrong(found.get("passed") is True, str(found.get("why", ""))[:500])


def program(answer: str, prefix: str = "") -> str:
    """Return the program of an answer: its code block, behind ``prefix`` unless it repeats that."""
    blocks = _FENCED.findall(answer)
    source = max(blocks, key=len) if blocks else answer
    heads = re.findall(r"^def \w+", prefix, re.MULTILINE)
    if not prefix or (heads and heads[-1] in source):
        imports = "\n".join(line for line in prefix.splitlines() if re.match(r"(?:from|import)\s", line))
        return f"{imports}\n{source}"
    return prefix + source
