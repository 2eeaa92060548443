"""Programs of others run where they can do no harm: no network, no files, no processes, bounded time and memory."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from feilun.errors import EngineDown, UpstreamTimeout
from feilun.grading import Grade, grade
from feilun.grading.sandbox.pool import Pool, shared_pool

TESTS = "assert add(1, 2) == 3"
GOOD = "def add(a, b):\n    return a + b\n"


async def ran(answer: str, **more: object) -> Grade:
    """Grade a program."""
    spec = {"type": "code", "tests": TESTS, "seconds": 5, **more}
    return await grade(spec, {}, {"output_text": answer})


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        f"Here it is:\n```python\n{GOOD}```\nIt adds.",
        "from dataclasses import dataclass\nimport json, math\n@dataclass\nclass A:\n    x: int\n" + GOOD,
        "open('here.txt', 'w').write('mine')\n" + GOOD,
        "print('noise' * 1000)\n" + GOOD,
    ],
)
async def test_a_program_that_passes_its_tests_passes(answer: str) -> None:
    """In a block or bare, with libraries, with a file of its own."""
    assert await ran(answer) == Grade(1.0, True, "tests passed")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("def add(a, b):\n    return a - b", "AssertionError"),
        ("def add(a, b:", "SyntaxError"),
        (GOOD + "raise SystemExit(0)", "SystemExit"),
        (GOOD + "import os\nos._exit(0)", "ended"),
        (GOOD + "x = bytearray(10**12)", "MemoryError"),
        (GOOD + "import os\nos.fork()", "PermissionError"),
        (GOOD + "import subprocess\nsubprocess.run(['true'])", "Error"),
        (GOOD + "import os\nos.kill(os.getppid(), 9)", "PermissionError"),
        (
            GOOD + "import ctypes\nctypes.CDLL(None).system(b'true') == 0 and 1 / 0\nraise OSError('no shell')",
            "no shell",
        ),
    ],
)
async def test_one_that_does_not_fails_with_its_reason(answer: str, why: str) -> None:
    """Wrong, broken, leaving early, greedy, or out to do harm: the answer failed, the grader did not."""
    found = await ran(answer)
    assert (found.passed, found.error) == (False, "")
    assert why in found.why


async def test_nothing_outside_can_be_read_written_or_reached(tmp_path: Path) -> None:
    """Files of ours, and a server of ours that listens."""
    secret, target = tmp_path / "secret.txt", tmp_path / "made.txt"
    secret.write_text("a key", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for attempt in (
            f"open({str(secret)!r}).read()",
            f"open({str(target)!r}, 'w')",
            f"__import__('os').unlink({str(secret)!r})",
            f"__import__('socket').create_connection(('127.0.0.1', {port}))",
            "open('/proc/%d/environ' % __import__('os').getppid()).read()",
        ):
            found = await ran(f"{GOOD}{attempt}")
            assert (found.passed, "Permission" in found.why) == (False, True), attempt
    assert secret.read_text(encoding="utf-8") == "a key"
    assert not target.exists()


async def test_what_never_ends_is_ended() -> None:
    """A program, a pattern and a grader's function that hang cost their time and no more; the next one is graded."""
    slow = await ran("while True:\n    pass", seconds=0.5)
    assert (slow.passed, slow.error, "more than" in slow.why) == (False, "", True)
    python = {"type": "python", "source": "def grade(sample, item):\n    while True:\n        pass", "seconds": 0.5}
    assert "more than" in (await grade(python, {}, {"output_text": ""})).error
    pattern = {"type": "regex", "pattern": "(a+)+$"}
    assert (await grade(pattern, {}, {"output_text": "a" * 64 + "b"})).error
    assert (await grade(pattern, {}, {"output_text": "aaa"})).passed


async def test_openais_python_grader() -> None:
    """Its function sees the sample and the item; what it returns or raises is the grade or its error."""

    def python(body: str) -> dict[str, object]:
        return {"type": "python", "source": f"def grade(sample, item):\n    {body}"}

    item, sample = {"label": "x"}, {"output_text": "x", "choices": []}
    assert (await grade(python("return float(sample['output_text'] == item['label'])"), item, sample)).passed
    assert (await grade(python("return 0.25"), item, sample)) == Grade(0.25, False, "grade() returned 0.25.")
    for body in ("return 'good'", "return None", "return float('nan')", "return item['no']", "import os; os._exit(0)"):
        found = await grade(python(body), item, sample)
        assert (found.score, bool(found.error)) == (0.0, True), body


async def test_inputs_and_outputs() -> None:
    """A program that reads and prints is tested by what it prints."""
    spec = {"type": "code", "tests": [{"input": "1 2\n", "output": "3"}, {"input": "5 5\n", "output": "10"}]}
    right, wrong = "a, b = map(int, input().split())\nprint(a + b)", "print(3)"
    assert (await grade(spec, {}, {"output_text": right})).passed
    assert "test 2" in (await grade(spec, {}, {"output_text": wrong})).why


@pytest.mark.parametrize(
    "program",
    [
        "import sys\nprint(sys.stdin.buffer.read().decode())",
        "print(open(0).read())",
        "import os\nos.write(1, os.read(0, 100))",
        "import sys\nfor line in sys.stdin: print(line, end='')",
        "import sys\ninput = sys.stdin.readline\nprint(input() + input())",
        "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.readline() + sys.stdin.buffer.readline())",
        "import sys\nsys.stdout.write(sys.__stdin__.read())\nsys.exit()",
        "import io, os, sys\nsys.stdin = io.BytesIO(os.read(0, os.fstat(0).st_size))\nprint(sys.stdin.read().decode())",
        "import sys\nsys.__stdout__.write(input() + '\\n' + input())\nsys.exit(0)",
    ],
)
async def test_programs_read_and_print_in_every_usual_way(program: str) -> None:
    """Through the streams, their bytes, or their numbers; twice, since one program gets several tests."""
    tests = [{"input": text, "output": text} for text in ("é 1\n2\n", "3\n四\n")]
    assert await ran(program, tests=tests) == Grade(1.0, True, "2 tests passed")


@pytest.mark.parametrize("end", ["sys.exit(1)", "raise SystemExit('no')", "sys.exit(True)", "os._exit(1)", "1 / 0"])
async def test_a_program_that_ends_badly_does_not_pass(end: str) -> None:
    """What it printed before is not enough."""
    found = await ran(f"import os, sys\nprint(input(), flush=True)\n{end}", tests=[{"input": "4", "output": "4"}])
    assert (found.passed, found.error) == (False, "")


def test_children_are_reused_and_end_with_the_pool() -> None:
    """Patterns share a warm child; a late one is replaced; closing leaves no process and no folder."""
    pool = Pool()
    task = {"pattern": "b", "flags": "", "whole": False, "text": "abc"}
    assert pool.ask("regex", task, 5.0) == {"found": True, "group": "b"}
    child = pool.idle("regex")[0]
    assert pool.ask("regex", task, 5.0)["found"]
    assert pool.idle("regex") == [child]
    with pytest.raises(UpstreamTimeout):
        pool.ask("regex", {**task, "pattern": "(a+)+$", "text": "a" * 64 + "b"}, 0.3)
    with pytest.raises(EngineDown):
        pool.ask("schema", {"schema": {"$ref": "http://127.0.0.1:1/none"}, "value": 1}, 5.0)
    assert pool.ask("regex", task, 5.0)["found"]
    left = pool.idle("regex")
    assert child not in left
    pool.close()
    for pid in (child, *left):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert shared_pool() is shared_pool()
