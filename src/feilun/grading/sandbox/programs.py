"""Tasks of the sandbox: a grader's function, a program with its tests.

This module knows how a foreign program is called. It does not know what keeps it in: by the time these run, the kernel
does. A program that sets out to forge its own result can, since it shares the process with its tests; it can do nothing
else.
"""

from __future__ import annotations

import importlib.util
import io
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from feilun.records import JSON


class _Outcome:
    """How a foreign block ended; SystemExit, too, is only an end, and ``well`` if it says so."""

    def __init__(self) -> None:
        """Nothing happened yet."""
        self.why = ""
        self.ended = self.well = False

    def __enter__(self) -> _Outcome:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        """Note the error's last line."""
        if kind is not None and error is not None:
            self.why = "".join(traceback.format_exception_only(kind, error)).strip()[-500:]
        self.ended = kind is not None
        self.well = isinstance(error, SystemExit) and (error.code is None or error.code == 0)
        return True


def grader(given: JSON) -> JSON:
    """Return the score that ``grade(sample, item)`` of a source gives; raise what it raises."""
    space: dict[str, Any] = {"__name__": "grader"}
    with redirect_stdout(io.StringIO()):
        _run(given["source"], space)
        function = space.get("grade")
        if not callable(function):
            raise TypeError("the source defines no function grade(sample, item)")
        score = function(given["sample"], given["item"])
    number = score if isinstance(score, int | float) else None
    return {"score": None if number is None else float(number), "said": repr(score)[:100]}


def tested(given: JSON) -> JSON:
    """Return whether a program passes its tests, and why not."""
    tests = given["tests"]
    if isinstance(tests, list):
        for number, test in enumerate(tests, 1):
            if why := _printed(given["source"], test):
                return {"passed": False, "why": f"test {number}: {why}"}
        return {"passed": True, "why": f"{len(tests)} tests passed"}
    space: dict[str, Any] = {"__name__": "answer"}
    with redirect_stdout(io.StringIO()):
        with _Outcome() as first:
            _run(given["source"], space)
        if first.ended:
            return {"passed": False, "why": f"the program: {first.why}"}
        if given["entry"] and not callable(space.get(given["entry"])):
            return {"passed": False, "why": f"the program defines no {given['entry']}"}
        with _Outcome() as second:
            _run(tests, space)
            if given["entry"] and callable(check := space.get("check")):
                check(space[given["entry"]])
    return {"passed": not second.ended, "why": second.why or "tests passed"}


def _printed(source: str, test: JSON) -> str:
    """Run a program on what it is given; return what is wrong with how it ends or with what it prints."""
    printed = Path.cwd() / "printed"
    with _Outcome() as outcome, _wired(test["input"], printed):
        _run(source, {"__name__": "__main__"})
    if outcome.ended and not outcome.well:
        return outcome.why
    texts = (printed.read_bytes().decode(errors="replace").strip(), test["output"].strip())
    lines, wanted = ([line.rstrip() for line in text.splitlines()] for text in texts)
    return "" if lines == wanted else f"it printed {texts[0][:80]!r}, not {texts[1][:80]!r}"


@contextmanager
def _wired(text: str, target: Path) -> Iterator[None]:
    """Give a program standard streams that are files: whatever way it reads and prints, by bytes or by number too."""
    source = target.with_name("given")
    source.write_text(text, encoding="utf-8")
    before, kept = (sys.stdin, sys.stdout), (os.dup(0), os.dup(1))
    with source.open("rb") as given, target.open("wb") as printed:
        os.dup2(given.fileno(), 0)
        os.dup2(printed.fileno(), 1)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = mine = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    try:
        yield
    finally:
        for stream in filter(None, (sys.stdout, mine, sys.__stdout__)):
            with suppress(ValueError, OSError, AttributeError):
                stream.flush()
        sys.stdin, sys.stdout = before
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _run(source: str, space: dict[str, Any]) -> None:
    """Run a source as a module of its own that begins with the names in ``space``; put its names there."""
    name = str(space["__name__"])
    file = Path.cwd() / f"{name}.py"
    file.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    vars(module).update({key: value for key, value in space.items() if not key.startswith("__")})
    sys.modules[name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    space.update(vars(module))
