"""Recipes as people write them: a YAML file -> checked steps, or every mistake at once.

This module knows the form of recipes. It does not know what operators do, nor how steps run. A recipe::

    name: our-chat
    about: {en: Questions and answers to train on, zh: 用于训练的问答}
    make: chat            # chat, passages, documents, preferences or labels: what rows are cut from documents
    flagged: keep         # rows that a person should look at: keep them in the result, or set them aside
    documents: [normalise, furniture]            # operators on whole documents, before rows are cut
    rows: [personal, {near_copies: {threshold: 0.8}}]   # operators on rows
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from feilun.curation.recipes.catalogue import nearest, operators
from feilun.curation.seam import Operator, Parameter, Words
from feilun.errors import BadRequest
from feilun.records import Purpose, content_hash

Made = Literal["chat", "passages", "documents", "preferences", "labels"]
Value = bool | int | float | str | tuple[str, ...]
KEYS = ("name", "about", "make", "flagged", "documents", "rows")
_FLAGGED = ("keep", "set_aside")
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Step:
    """An operator with every parameter it takes; ``only`` is the key of ``Row.meta`` that rows must have for it."""

    operator: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    only: str = ""

    @property
    def signature(self) -> str:
        """Return what tells this step from every other: a step with the same one answers the same."""
        known = operators()[self.operator]
        values = {name: self.parameters[name] for name in known.parameters}
        return content_hash([self.operator, known.version, values, self.only])


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is done to documents, which rows are cut from them, and what is done to rows."""

    name: str
    made: Made
    documents: tuple[Step, ...] = ()
    rows: tuple[Step, ...] = ()
    flagged: str = "keep"
    about: Words = ("", "")

    @property
    def purpose(self) -> Purpose:
        """Return what its rows are read for."""
        return "retrieve" if self.made == "passages" else "train"

    @property
    def signature(self) -> str:
        """Return what tells this recipe from every other that gives something else."""
        steps = [[step.signature for step in chain] for chain in (self.documents, self.rows)]
        return content_hash([self.made, self.flagged, steps])


def ready() -> dict[str, str]:
    """Return the text of every recipe that comes with us, by name."""
    folder = files("feilun.curation.recipes") / "ready"
    found = [item for item in folder.iterdir() if item.name.endswith(".yaml")]
    return {item.name.removesuffix(".yaml"): item.read_text("utf-8") for item in sorted(found, key=lambda i: i.name)}


def find(given: str) -> Recipe:
    """Return the recipe of that name, or of that file; raise BadRequest with every mistake in it."""
    own = ready()
    if given in own:
        return parse(own[given], given)
    path = Path(given)
    if not path.is_file():
        raise BadRequest(
            f"There is no recipe or file named {given!r}.", f"Choices: {', '.join(own)}, or the path of a YAML file."
        )
    try:
        if path.stat().st_size > _LARGEST:
            raise BadRequest(f"{given}: a recipe cannot be larger than 1 MB.")
        return parse(path.read_text("utf-8-sig"), given)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{given} cannot be read: {error}", "A recipe is a YAML file in UTF-8.") from error


def parse(text: str, name: str) -> Recipe:
    """Return the recipe that a YAML text holds; raise BadRequest that lists every mistake. ``name`` is said in it."""
    try:
        given = yaml.safe_load(text)
        twice = list(_twice(yaml.compose(text, yaml.SafeLoader), set()))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadRequest(f"{name} is no YAML: {' '.join(str(error).split())}", _HINT) from error
    if not isinstance(given, dict):
        raise BadRequest(f"{name}: expected a mapping with {', '.join(KEYS)}.", _HINT)
    mistakes = [f"unknown key {key!r} (choices: {', '.join(KEYS)})" for key in given if key not in KEYS]
    mistakes += [f"the key {key!r} is given twice" for key in twice]
    made, flagged = given.get("make", "chat"), given.get("flagged", "keep")
    if made not in get_args(Made):
        mistakes.append(f"make: {made!r} is none of {', '.join(get_args(Made))}")
    if flagged not in _FLAGGED:
        mistakes.append(f"flagged: {flagged!r} is none of {', '.join(_FLAGGED)}")
    documents = _steps("documents", given.get("documents"), mistakes)
    rows = _steps("rows", given.get("rows"), mistakes)
    if not (documents or rows or mistakes):
        mistakes.append("it has no steps: give operators under rows or documents")
    if mistakes:
        raise BadRequest(f"{name} has {len(mistakes)} mistakes: " + "; ".join(mistakes), _HINT)
    own = given.get("name")
    return Recipe(str(own or Path(name).stem)[:100], made, documents, rows, flagged, _about(given.get("about")))


def _twice(node: yaml.Node | None, seen: set[int]) -> Iterator[str]:
    """Yield the keys that a mapping below a node gives more than once: YAML would take the last one silently."""
    if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
        return
    seen.add(id(node))
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    keys = Counter(key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode))
    yield from (key for key, times in keys.items() if times > 1)
    for inner in [value for _, value in pairs] or node.value:
        yield from _twice(inner, seen)


_HINT = "feilun curate --operators lists operators and their parameters; --recipes shows the recipes that there are."


def _about(given: Any) -> Words:
    if isinstance(given, dict):
        return str(given.get("en", "")), str(given.get("zh", given.get("en", "")))
    return str(given or ""), str(given or "")


def _steps(where: str, given: Any, mistakes: list[str]) -> tuple[Step, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        mistakes.append(f"{where}: expected a list of operators")
        return ()
    found = []
    for number, item in enumerate(given, 1):
        place = f"{where}[{number}]"
        name: Any = item
        values: Any = {}
        if isinstance(item, str):
            pass
        elif isinstance(item, dict) and len(item) == 1:
            name, values = next(iter(item.items()))
            values = {} if values is None else values
        else:
            mistakes.append(f"{place}: expected an operator's name, or one name with its parameters")
            continue
        known = operators().get(str(name))
        if known is None:
            mistakes.append(f"{place}: there is no operator {name!r} ({nearest(str(name))})")
        elif not isinstance(values, dict):
            mistakes.append(f"{place}: the parameters of {name} must be a mapping")
        else:
            found.append(Step(str(name), _values(f"{place} {name}", known, values, mistakes)))
    return tuple(found)


def _values(place: str, operator: Operator, given: Mapping[Any, Any], mistakes: list[str]) -> dict[str, Value]:
    for name in given:
        if name not in operator.parameters:
            choices = ", ".join(operator.parameters) or "it takes none"
            mistakes.append(f"{place}: unknown parameter {name!r} (choices: {choices})")
    values: dict[str, Value] = {}
    for name, parameter in operator.parameters.items():
        values[name] = parameter.default
        if name in given:
            value, mistake = _value(parameter, given[name])
            if mistake:
                mistakes.append(f"{place}.{name}: {given[name]!r} {mistake}")
            else:
                values[name] = value
    return values


def _value(parameter: Parameter, given: Any) -> tuple[Value, str]:
    """Return the value as the parameter's type, or what is wrong with it."""
    default = parameter.default
    if isinstance(default, bool):
        return (given, "") if isinstance(given, bool) else (default, "must be true or false")
    if isinstance(default, tuple):
        if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
            return default, "must be a list of words"
        wrong = [each for each in given if parameter.choices and each not in parameter.choices]
        return (default, f"may hold only {', '.join(parameter.choices)}") if wrong else (tuple(given), "")
    if isinstance(default, str):
        if not isinstance(given, str):
            return default, "must be a word"
        if parameter.choices and given not in parameter.choices:
            return default, f"is none of {', '.join(parameter.choices)}"
        return given, ""
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        return default, "must be a number"
    if isinstance(default, int) and given != int(given):
        return default, "must be a whole number"
    if parameter.low is not None and given < parameter.low:
        return default, f"is below {parameter.low:g}"
    if parameter.high is not None and given > parameter.high:
        return default, f"is above {parameter.high:g}"
    return type(default)(given), ""
