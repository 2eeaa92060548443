"""The rules of the house that no linter knows: budgets, rooms that say what they do not know, no exemptions."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "feilun"
TREES = ("src", "tests", "tools", "bench")
MODULE_LINES, FUNCTION_LINES, PARAMETERS, ROOM_MODULES = 400, 80, 8, 15
EMPTY_NAMES = {"core", "utils", "util", "common", "helpers", "services", "manager", "extras", "misc"}
EXEMPTION = re.compile(r"#\s*(noqa|ruff:|flake8:|type:\s*ignore|mypy:|pyright:|pragma|isort:)", re.IGNORECASE)
NOT_KNOWN = ("does not know", "do not know", "knows nothing", "know nothing")


def _modules(*trees: str) -> list[Path]:
    made = ROOT / "bench" / "out"  # benches install others' programs there
    return [path for tree in trees for path in sorted((ROOT / tree).rglob("*.py")) if made not in path.parents]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(_tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _rooms() -> list[Path]:
    return sorted({path.parent for path in PACKAGE.rglob("*.py")})


def _place(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def test_there_is_a_house() -> None:
    """The rules below look at something."""
    assert len(_modules("src")) > 20
    assert PACKAGE / "store" in _rooms()


def test_modules_are_small() -> None:
    """No module has more than 400 lines."""
    sizes = {_place(path): len(path.read_text(encoding="utf-8").splitlines()) for path in _modules(*TREES)}
    assert {place: size for place, size in sizes.items() if size > MODULE_LINES} == {}


def test_functions_are_small() -> None:
    """No function has more than 80 lines, signature and docstring counted."""
    long = []
    for path in _modules(*TREES):
        for function in _functions(path):
            size = (function.end_lineno or function.lineno) - function.lineno + 1
            if size > FUNCTION_LINES:
                long.append((_place(path, function.lineno), size))
    assert long == []


def test_functions_have_few_parameters() -> None:
    """No function has more than 8 parameters, ``self`` and ``cls`` not counted."""
    many = []
    for path in _modules(*TREES):
        for function in _functions(path):
            given = function.args
            names = [
                each.arg
                for each in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg)
                if each
            ]
            if len([name for name in names if name not in {"self", "cls"}]) > PARAMETERS:
                many.append(_place(path, function.lineno))
    assert many == []


def test_rooms_are_small() -> None:
    """No room has more than 15 modules, its ``__init__`` not counted."""
    counts = {_place(room): len([path for path in room.glob("*.py") if path.stem != "__init__"]) for room in _rooms()}
    assert {room: count for room, count in counts.items() if count > ROOM_MODULES} == {}


def test_names_say_something() -> None:
    """No room or module has a name under which anything could be put."""
    names = {path for path in (*_rooms(), *_modules("src")) if path.stem.lower() in EMPTY_NAMES}
    assert sorted(_place(path) for path in names) == []


def test_doors_hold_exports_only() -> None:
    """An ``__init__`` has a docstring, imports, ``__all__`` and ``__version__``, and nothing that does work."""
    wrong = []
    for path in PACKAGE.rglob("__init__.py"):
        for statement in _tree(path).body:
            names = [target.id for target in getattr(statement, "targets", []) if isinstance(target, ast.Name)]
            docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not (
                docstring
                or isinstance(statement, ast.Import | ast.ImportFrom)
                or names in (["__all__"], ["__version__"])
            ):
                wrong.append(_place(path, statement.lineno))
    assert wrong == []


def test_rooms_say_what_they_do_not_know() -> None:
    """The docstring at a room's door says it; one for each room."""
    silent = []
    for room in _rooms():
        if room == PACKAGE or room.name == "versions":  # the house as a whole, and numbered files that nobody imports
            continue
        door = room / "__init__.py"
        said = " ".join((ast.get_docstring(_tree(door)) or "").lower().split()) if door.is_file() else ""
        if not any(words in said for words in NOT_KNOWN):
            silent.append(_place(door))
    assert silent == []


def test_every_module_function_and_test_says_its_purpose() -> None:
    """Modules of every tree have a docstring, and so has every test."""
    silent = [_place(path) for path in _modules(*TREES) if not ast.get_docstring(_tree(path))]
    for path in _modules("tests"):
        silent += [
            _place(path, test.lineno)
            for test in _functions(path)
            if test.name.startswith("test_") and not ast.get_docstring(test)
        ]
    assert silent == []


def test_imports_are_at_the_top() -> None:
    """No function imports."""
    inside = [
        _place(path, node.lineno)
        for path in _modules(*TREES)
        for function in _functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


def test_there_are_no_exemptions() -> None:
    """No line is exempt from a linter, a type checker or the measuring of tests."""
    exempt = [
        _place(path, number)
        for path in _modules(*TREES)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if EXEMPTION.search(line)
    ]
    assert exempt == []
    assert "per-file-ignores" not in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", ["x = 1  # no" + "qa: E501", "#ty" + "pe: ignore[x]", "# prag" + "ma: no cover"])
def test_exemptions_would_be_found(line: str) -> None:
    """The search finds what it looks for."""
    assert EXEMPTION.search(line)


def test_sizes_are_printed() -> None:
    """The script that shows people the sizes counts every module of the package."""
    command = [sys.executable, "-W", "error", str(ROOT / "tools" / "house.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"total src: {len(_modules('src'))} files" in done.stdout
    assert re.search(r"^store: \d+ modules, \d+ lines\n.*\bsources \d+", done.stdout, re.MULTILINE)
