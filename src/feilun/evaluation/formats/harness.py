"""Tasks of lm-evaluation-harness as exams: a YAML file, its local data, the same prompts and the same scoring.

Templates are rendered in a sandbox; nothing is downloaded, and no function that a file names is called. This module
knows the task format (0.4). It does not know models.

Source: Gao et al. 2024, A framework for few-shot language model evaluation.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from jinja2 import StrictUndefined, Template, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from feilun.errors import BadRequest
from feilun.evaluation.formats.fields import QUESTION
from feilun.evaluation.formats.filters import replaced
from feilun.evaluation.formats.rows import Row, read_rows
from feilun.records import JSON

KINDS = ("multiple_choice", "generate_until", "loglikelihood")
_ENDINGS = (".json", ".jsonl", ".csv", ".tsv")
SEED = 1234  # the harness's own, for examples that it draws
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
_ENVIRONMENT.filters["regex_replace"] = replaced
_UNFILLED = _ENVIRONMENT.overlay(finalize=lambda value: "" if value is None else value)


class _Generating(msgspec.Struct):
    """``generation_kwargs``: how a task has answers written."""

    until: str | list[Any] | None = None
    do_sample: bool | None = None
    temperature: float | None = None
    max_gen_toks: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None


class _Filter(msgspec.Struct):
    filter: list[JSON]
    name: str = ""


class _Samples(msgspec.Struct):
    sampler: str | None = None
    samples: list[JSON] | None = None


class _Data(msgspec.Struct):
    data_files: str | list[str] | dict[str, str | list[str]] | None = None
    field: str | None = None


class _Shape(msgspec.Struct):
    """What a task says, and of which kind it must be; fields that are not named here say nothing to us."""

    task: str | None = None
    num_fewshot: Annotated[int, msgspec.Meta(ge=0)] | None = None
    generation_kwargs: _Generating | None = None
    filter_list: list[_Filter] | None = None
    metric_list: list[JSON] | None = None
    fewshot_config: _Samples | None = None
    dataset_kwargs: _Data | None = None
    dataset_path: str | None = None
    test_split: str | None = None
    validation_split: str | None = None
    training_split: str | None = None
    fewshot_split: str | None = None
    description: str | None = None
    gen_prefix: str | None = None
    doc_to_choice: str | list[Any] | dict[Any, Any] | None = None
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"


class _Loader(yaml.SafeLoader):
    """YAML without anything that runs."""


def _refuse(_loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    raise BadRequest(
        f"The task calls a function ({str(getattr(node, 'value', ''))[:60]}), which is not run here.",
        "Write what it does as a template, or put its results into the data.",
    )


_Loader.add_constructor("!function", _refuse)


@dataclass(slots=True)
class Task:
    """A task: its configuration, its rows, and the rows that examples come from."""

    name: str
    config: JSON
    rows: list[Row]
    examples: list[Row] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """``multiple_choice``, ``generate_until`` or ``loglikelihood``."""
        return str(self.config.get("output_type", "generate_until"))


def read_config(path: Path, depth: int = 0) -> JSON:
    """Return a task's configuration, what it includes first; raise BadRequest."""
    try:
        found = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise BadRequest(f"The task {path} cannot be read: {error.strerror}.", "Name a YAML file.") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The task {path.name} is not YAML: {str(error).splitlines()[0]}.", "Mend it.") from error
    if not isinstance(found, dict):
        raise BadRequest(f"The task {path.name} is not a mapping.", "See the harness's new_task_guide.")
    included = found.pop("include", None)
    if included is None:
        return found
    if depth > 8 or not isinstance(included, str):
        raise BadRequest(f"The task {path.name} includes what cannot be included.", "Name one file.")
    return {**read_config(path.parent / included, depth + 1), **found}


def read_task(path: Path, data: Path | None = None) -> Task:
    """Return the task of a YAML file with its local data; raise BadRequest that says what is missing.

    ``data`` is a file or folder to take instead of what the task names.
    """
    config = read_config(path)
    if "task" in config and isinstance(config["task"], list):
        raise BadRequest(f"{path.name} is a group of tasks.", "Import its tasks one by one.")
    kind = config.get("output_type", "generate_until")
    if kind not in KINDS:
        raise BadRequest(f"The task's output_type is {str(kind)[:60]!r}.", f"Possible: {', '.join(KINDS)}.")
    try:
        msgspec.convert(config, _Shape)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The task {path.name} cannot be: {error}.", "See the harness's task_guide.") from error
    for name in ("doc_to_text", "doc_to_target"):
        if not isinstance(config.get(name), str | int | list):
            raise BadRequest(f"The task has no {name}.", "It must be a template or the name of a field.")
    splits = _splits(config, path.parent, data)
    asked = next((config[name] for name in ("test_split", "validation_split") if config.get(name)), None)
    if asked is None or asked not in splits:
        have = ", ".join(sorted(splits)) or "none"
        raise BadRequest(
            f"The task asks of split {asked!r}, and the data has: {have}.", "Name test_split and data_files."
        )
    own = config.get("fewshot_config") if isinstance(config.get("fewshot_config"), dict) else {}
    shots = next(
        (
            name
            for name in (config.get("fewshot_split"), config.get("training_split"), config.get("validation_split"))
            if name in splits
        ),
        asked,
    )
    task = Task(str(config.get("task") or path.stem), config, splits[asked], splits[shots])
    if isinstance(own, dict) and isinstance(own.get("samples"), list):
        task.examples = [Row(path.name, number, each) for number, each in enumerate(own["samples"], 1)]
    return task


def _splits(config: JSON, folder: Path, data: Path | None) -> dict[str, list[Row]]:
    given = config.get("dataset_kwargs") or {}
    files: Any = given.get("data_files") if isinstance(given, dict) else None
    inner = str(given.get("field", "")) if isinstance(given, dict) else ""
    asked = next((config[name] for name in ("test_split", "validation_split") if config.get(name)), "test")
    if data is not None and data.is_file():
        files = {asked: str(data)}
    elif files is None:
        files = {asked: str(config.get("dataset_path", ""))}
    if isinstance(files, str | list):
        files = {"train": files}
    root = data if data is not None and data.is_dir() else folder
    found: dict[str, list[Row]] = {}
    for split, names in files.items():
        for name in names if isinstance(names, list) else [names]:
            path = Path(str(name)) if Path(str(name)).is_absolute() else root / str(name)
            if "://" in str(name) or not path.is_file() or path.suffix.lower() not in _ENDINGS:
                raise BadRequest(
                    f"The task's data {str(name)[:120]!r} is no local file of {', '.join(_ENDINGS)}.",
                    "Nothing is downloaded: give the file with --data.",
                )
            found.setdefault(str(split), []).extend(read_rows(path, inner))
    return found


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    """Compile a template once for all rows."""
    return _ENVIRONMENT.from_string(template)


def render(template: str, fields: Mapping[str, Any]) -> str:
    """Return a template filled in; raise BadRequest that says what it misses."""
    try:
        return _compiled(template).render(**{str(name): value for name, value in fields.items()})
    except (
        TemplateError,
        TypeError,
        ValueError,
        LookupError,
        ArithmeticError,
        AttributeError,
        RecursionError,
    ) as error:
        raise BadRequest(f"A template cannot be filled in: {error}.", "Compare its names with the data's.") from error


def _without_nulls(template: str, fields: Mapping[str, Any]) -> str:
    """Return a template filled in with nothing where the harness writes ``None`` for what is null."""
    return _UNFILLED.from_string(template).render(**{str(name): value for name, value in fields.items()}).strip()


def asks(config: JSON, fields: JSON) -> bool:
    """Say whether a row gives its prompt a question, if the task takes its prompt from the row at all."""
    given = str(config["doc_to_text"])
    names = [given] if given in fields else _variables(given)
    used = [name for name in names if name in fields]
    told = [name for name in used if name.casefold() in QUESTION] or used
    return not told or not all(_empty(fields[name]) for name in told)


@lru_cache(maxsize=64)
def _variables(template: str) -> list[str]:
    return sorted(meta.find_undeclared_variables(_ENVIRONMENT.parse(template)))


def _empty(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(_empty(each) for each in (value.values() if isinstance(value, dict) else value))
    return value is None or (isinstance(value, str) and not value.strip())


def text_of(config: JSON, fields: JSON) -> str:
    """Return ``doc_to_text``."""
    given = config["doc_to_text"]
    if isinstance(given, str) and given in fields:
        return str(fields[given])
    return render(str(given), fields)


def choices_of(config: JSON, fields: JSON) -> list[str]:
    """Return ``doc_to_choice``."""
    given = config.get("doc_to_choice")
    if isinstance(given, dict):
        given = list(given.values())
    if isinstance(given, str):
        if given in fields:
            given = fields[given]
        else:
            try:
                given = ast.literal_eval(render(given, fields))
            except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
                raise BadRequest("doc_to_choice is not a list.", "Write a template that gives one.") from error
    if not isinstance(given, list) or len(given) < 1:
        raise BadRequest("doc_to_choice is not a list.", "Give at least two options.")
    return [str(each) for each in given]


def target_of(config: JSON, fields: JSON) -> int | str | list[Any]:
    """Return ``doc_to_target``: an option's number, a text, or several."""
    given = config["doc_to_target"]
    if not isinstance(given, str):
        return given if isinstance(given, int | list) else str(given)
    if given in fields:
        found = fields[given]
        return "" if found is None else found if isinstance(found, int | str | list) else str(found)
    text = render(given, fields)
    if text.strip() == "None" and not _without_nulls(given, fields):
        return ""
    if text.isdigit() and config.get("doc_to_choice") is not None:
        return int(text)
    if len(text) >= 2 and text[0] == "[" and text[-1] == "]":
        try:
            found = ast.literal_eval(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return text
        return found if isinstance(found, list) else text
    return text


def context_of(task: Task, row: Row, draw: random.Random) -> str:
    """Return the whole prompt of a row: description, examples, question."""
    config, fields = task.config, row.fields
    description = config.get("description") or ""
    head = render(description, fields) if description else ""
    delimiter = str(config.get("target_delimiter", " "))
    between = str(config.get("fewshot_delimiter", "\n\n"))
    parts = [head]
    for example in shots(task, row, draw):
        target = target_of(config, example.fields)
        if isinstance(target, int) and config.get("doc_to_choice") is not None:
            options = choices_of(config, example.fields)
            if not 0 <= target < len(options):
                raise BadRequest(f"The target {target} of an example is none of the options.", "Mend the data.")
            target = options[target]
        answer = str(target[0] if isinstance(target, list) else target)
        parts.append(text_of(config, example.fields) + delimiter + answer + between)
    own = text_of(config, fields)
    prefix = str(config.get("gen_prefix") or "")
    if prefix and own and not (own[-1].isspace() or prefix[0].isspace()):
        own += delimiter
    return "".join(parts) + own + prefix


def shots(task: Task, row: Row, draw: random.Random) -> list[Row]:
    """Return the examples of a row, drawn as the harness draws them."""
    count = int(task.config.get("num_fewshot") or 0)
    if not count:
        return []
    sampler = task.config.get("fewshot_config") or {}
    same = task.examples is task.rows
    pool = task.examples
    if isinstance(sampler, dict) and sampler.get("sampler") == "first_n":
        left = [each for each in pool if not same or each.fields != row.fields]
        if count > len(left):
            raise BadRequest(f"The task asks for {count} examples, and there are {len(left)}.", "Lower num_fewshot.")
        return left[:count]
    if count + same > len(pool):
        raise BadRequest(f"The task asks for {count} examples, and there are {len(pool)}.", "Lower num_fewshot.")
    drawn = draw.sample(pool, count + same)
    return [each for each in drawn if not same or each.fields != row.fields][:count]


def prompts(task: Task) -> list[str]:
    """Return the prompts of all rows, in order."""
    draw = random.Random(SEED)
    return [context_of(task, row, draw) for row in task.rows]
