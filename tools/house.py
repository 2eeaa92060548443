"""Print the sizes of the house: every room with its modules, and the totals.

    python tools/house.py

Knows files and lines. Does not know the budgets: ``tests/test_house.py`` holds them.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OTHERS = ("tests", "tools", "bench")


def lines(path: Path) -> int:
    """Return the number of lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def rooms(package: Path) -> dict[str, dict[str, int]]:
    """Return the lines of every module by room; modules directly in the package are in the room of its name."""
    found: dict[str, dict[str, int]] = {}
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        room = "/".join(inside.parts[:-1]) or package.name
        found.setdefault(room, {})[inside.stem] = lines(path)
    return found


def main() -> None:
    """Print the table."""
    sizes = rooms(ROOT / "src" / "feilun")
    for room, modules in sorted(sizes.items()):
        largest_first = sorted(modules.items(), key=lambda item: (-item[1], item[0]))
        count = sum(name != "__init__" for name in modules)
        print(f"{room}: {count} modules, {sum(modules.values())} lines")
        print("    " + ", ".join(f"{name} {size}" for name, size in largest_first))
    files = sum(len(modules) for modules in sizes.values())
    print(f"total src: {files} files, {sum(sum(modules.values()) for modules in sizes.values())} lines")
    for name in OTHERS:
        made = ROOT / "bench" / "out"
        paths = [path for path in sorted((ROOT / name).rglob("*.py")) if made not in path.parents]
        print(f"total {name}: {len(paths)} files, {sum(lines(path) for path in paths)} lines")


if __name__ == "__main__":
    main()
