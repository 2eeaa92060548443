"""From a training file to a dataset version: read for its method, measured, without what exams ask, kept for training.

This module knows examples, permissions and exams. It does not know jobs, nor how anything is learnt.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from feilun.curation.sealing import Sealed, seal_training
from feilun.engines.prompts import Prompter
from feilun.errors import BadModel, BadRequest, Forbidden, TooFewSamples
from feilun.gateway.endpoints.fine_tuning.methods import Chosen
from feilun.gateway.examples import MINIMUM, MOST_NAMED, Example, encoding, read, records
from feilun.records import JSON, DatasetVersion, ModelVersion, Record, Source
from feilun.store import Database, datasets, sources
from feilun.training.recipes import ungradable

SHORT = 256  # bytes of an example that surely fits
LEAST = {"training_file": MINIMUM, "validation_file": 2}


@dataclass(frozen=True, slots=True)
class Material:
    """What will be learnt: the dataset version, and what was left out of it because an exam asks it."""

    version: DatasetVersion
    removed: tuple[JSON, ...] = ()
    notes: tuple[str, ...] = ()
    longest: int = 0  # tokens of the longest example, where that is more than a recipe takes by itself


def material(db: Database, source: Source, name: str, chosen: Chosen, base: ModelVersion, param: str) -> Material:
    """Write what a file holds for a method as a dataset version named ``name``; ``param`` is the file's role.

    Raises BadRequest that names the lines that are wrong or too long, TooFewSamples, Forbidden.
    """
    if source.meta.get("purpose") != "fine-tune":
        raise BadRequest(
            f"{source.id} was uploaded for {source.meta.get('purpose')}, not for fine-tune.",
            "Upload it with purpose fine-tune.",
            param,
        )
    data = sources.content(db, source.workspace, source.id, "train")
    examples = read(data, source.name, param, chosen.forms, chosen.name)
    longest = check_lengths(examples, base, source.name, param)
    found = records(examples, source)
    least = 1 if chosen.forms == ("text",) else LEAST[param]
    file = param.replace("_", " ").capitalize()
    if len(found) < least:
        repeated = len(examples) - len(found)
        same = f" ({repeated} of its {len(examples)} lines say again what another says)" if repeated else ""
        raise TooFewSamples(
            f"{file} has {len(found)} example(s), but must have at least {least} different examples{same}.",
            "Add more.",
            param,
        )
    check_difference(found, chosen, file, param)
    if chosen.grader and (wrong := ungradable(chosen.recipe, chosen.grader, found)):
        raise BadRequest(
            f"{source.name} cannot be used: {wrong}.", "Add it to every line, or have the grader name another.", param
        )
    sealed = seal_training(db, source.workspace, found)
    kept, removed = sealed.kept, leaks(sealed)
    if len(kept) < least:
        raise TooFewSamples(
            f"{file}: {told(removed)} {len(kept)} are left; at least {least} are needed.", "Add others.", param
        )
    facts = {"file": source.id, "removed": len(removed)}
    version, left_out = datasets.write(db, source.workspace, name, kept, "train", facts)
    if version.rows < least:
        raise Forbidden(
            f"Of {len(kept)} examples {len(left_out)} may not be trained on: {left_out[0][1]}.",
            "Its owner can change its permissions.",
            param,
        )
    notes = [f"{file}: {told(removed)}"] if removed else []
    if (said := encoding(data)) != "utf-8":
        notes.append(f"{file} is not UTF-8; it was read as {said.upper()}.")
    if left_out:
        notes.append(f"{file}: {len(left_out)} examples may not be trained on: {left_out[0][1]}.")
    return Material(version, removed, tuple(notes), longest)


def leaks(sealed: Sealed) -> tuple[JSON, ...]:
    """Return what is told of records that give an exam away, each with its line."""
    return tuple({**leak.as_json(), "place": leak.record.meta.get("place", "")} for leak in sealed.removed)


def told(removed: Sequence[JSON]) -> str:
    """Return in words what was left out because an exam asks it."""
    first = removed[0]
    place = f"{first['place']} " if first["place"] else ""
    return (
        f"{len(removed)} left out because an exam asks them: {place}{first['en']} {first['item']} of {first['exam']}."
    )


def check_lengths(examples: Sequence[Example], base: ModelVersion, name: str, param: str) -> int:
    """Return the tokens of the longest example, 0 if all are short; texts are cut into pieces, and count as short.

    Raises BadRequest that names the lines which do not fit into the window of ``base``.
    """
    folder = Path(base.folder)
    window = window_of(base)
    if not window:
        return 0  # a trial without a model
    prompter, longest = Prompter(folder), 0
    long: list[str] = []
    for example in examples:
        if example.form == "text":
            continue
        said = "\n".join(str(message["content"]) for message in example.messages)
        if len(said.encode()) <= SHORT:
            continue  # a token has a byte at least, and templates add few
        prompt, answers = list(example.messages), 2 if example.form == "preference" else 0
        each = [[*prompt[:-2], side] for side in prompt[-2:]] if answers else [prompt]
        try:
            length = max(len(prompter.encode(prompter.render(one, answer=False))) for one in each)
        except BadModel as error:
            raise BadRequest(f"{name} cannot be used: {error.message}", error.hint, param) from error
        longest = max(longest, length)
        if length > window:
            long.append(f"line {example.line}: {length} tokens long")
    if long:
        more = f"; and {len(long) - MOST_NAMED} more" if len(long) > MOST_NAMED else ""
        raise BadRequest(
            f"{name} cannot be used: {'; '.join(long[:MOST_NAMED])}{more}; {base.name} takes {window}.",
            "Shorten or split them.",
            param,
        )
    return longest


def window_of(base: ModelVersion) -> int:
    """Return how many tokens a base takes; 0 for one without weights. Raises BadModel for damaged settings."""
    file = Path(base.folder) / "config.json"
    if not base.folder or not file.is_file():
        return 0
    try:
        return int(json.loads(file.read_text(encoding="utf-8")).get("max_position_embeddings", 2048))
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise BadModel(f"{file} is damaged.", "Fetch the model again.") from error


def check_difference(found: Sequence[Record], chosen: Chosen, file: str, param: str) -> None:
    """Raise BadRequest where nothing can be learnt because all examples say the same."""
    if chosen.name == "kto":
        sides = {record.meta.get("liked", record.kind) for record in found}
        if len(sides) < 2 and "preference" not in sides:
            word = "liked" if True in sides else "disliked"
            raise BadRequest(
                f"{file} holds only {word} answers.",
                "KTO needs answers that were liked and answers that were not.",
                param,
            )
    if chosen.name in {"supervised", "full"} and len(found) > 1:
        asked = {str([message["content"] for message in record.messages[:-1]]) for record in found}
        if len(asked) == 1:
            raise BadRequest(
                f"All {len(found)} examples of the {file.lower()} ask the same.", "Add different questions.", param
            )
