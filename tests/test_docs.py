"""The documents agree with the code and with each other."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from feilun import settings

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "feilun"
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
DATA = {"templates", "credit_union", "static"}


def tree(readme: Path) -> set[str]:
    """Return the paths below ``src/feilun`` that a readme's tree names."""
    block = next(b for b in FENCE.findall(readme.read_text(encoding="utf-8")) if "\nsrc/feilun/\n" in b)
    lines = block.split("src/feilun/\n", 1)[1].splitlines()
    found: set[str] = set()
    folders: list[str] = []
    for line in lines:
        match = re.match(r"( +)([\w./-]+)(?:\s{2,}\S|$)", line)
        if match:
            depth = len(match[1]) // 2 - 1
            folders = [*folders[:depth], match[2].rstrip("/")]
            found.add("/".join(folders))
    return found


def actual() -> set[str]:
    """Return every module and room of the package, doors left out."""
    modules = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.stem != "__init__"}
    rooms = {parent.as_posix() for module in modules for parent in Path(module).parents if parent != Path()}
    return modules | rooms | {"apps"}


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.name)
def test_the_tree_is_the_house(readme: Path) -> None:
    """Every room and module has its line, and no line stands for what is not there."""
    named = tree(readme)
    assert sorted(actual() - named) == []
    assert [name for name in sorted(named) if not (PACKAGE / name).exists()] == []


def test_every_setting_is_documented() -> None:
    """Name, type, default and help are those of the code, in its order; each has a line in Chinese too."""
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    wanted = [
        [name, kind, "(empty)" if default == "" else str(default), text, f"FEILUN_{name.upper()}"]
        for name, kind, default, text in settings.table()
    ]
    assert [row for row in rows if len(row) == len(wanted[0])] == wanted
    assert [row[0] for row in rows if len(row) == 2 and row[1]] == [row[0] for row in wanted]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    """A link within the project names a file that is there."""
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    targets = [unquote(link.split("#")[0]) for link in LINK.findall(text) if "://" not in link]
    assert [target for target in targets if target and not (document.parent / target).exists()] == []


def test_the_readmes_are_twins() -> None:
    """English and Chinese have the same headings in number and depth, the same commands, the same pictures."""
    english, chinese = (path.read_text(encoding="utf-8") for path in READMES)
    assert _headings(english) == _headings(chinese)
    assert len(FENCE.findall(english)) == len(FENCE.findall(chinese))
    assert _first_words(english) == _first_words(chinese)
    assert sorted(re.findall(r"!\[.*?\]\((.*?)\)", english)) == sorted(re.findall(r"!\[.*?\]\((.*?)\)", chinese))


def _headings(text: str) -> list[int]:
    return [len(mark) for mark in re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE)]


def _first_words(text: str) -> list[str]:
    return [
        line.split("#")[0].strip() for block in FENCE.findall(text) for line in block.splitlines() if "make " in line
    ]
