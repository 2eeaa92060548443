"""What operators may know beside the rows, in a form that travels to other processes.

This module knows exams, terms and which models are asked for. It does not know what operators do with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from feilun.curation.recipes.plan import Recipe
from feilun.curation.seam import Surroundings
from feilun.engines.embed import plain_encoder
from feilun.engines.models import ensure_base, model_name, pulled
from feilun.records import content_hash
from feilun.registry import Registry

# Loaded only where a recipe asks for it: torch takes seconds, and is not everywhere.
_READERS = Registry("reader", "local")
_READING = {"perplexity", "label_errors"}  # operators that ask it
_READERS.add("base model", "feilun.engines.likelihood:Likelihood")


@dataclass(frozen=True)
class Around:
    """Surroundings before their models are opened.

    ``embedding`` names the embedding model, ``reader`` is the folder of a base model that says how likely texts are;
    empty for none.
    """

    exams: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    embedding: str = ""
    key: bytes = b""
    published: tuple[str, ...] = ()
    reader: str = ""

    @property
    def signature(self) -> bytes:
        """Return what tells these surroundings from others."""
        return content_hash(
            [self.exams, self.terms, self.embedding, self.key.hex(), self.published, self.reader]
        ).encode()

    def open(self) -> Surroundings:
        """Return the surroundings, with their models at work in this process."""
        embed = _Embed(self.embedding) if self.embedding else None
        likelihood = _READERS.load("base model")(Path(self.reader)).means if self.reader else None
        return Surroundings(self.exams, self.terms, self.key, self.published, embed, likelihood)


class _Embed:
    """An embedding model that is loaded when it is first asked: most recipes have a use for none."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._encode: Callable[[Sequence[str]], np.ndarray] | None = None

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors (n × d) of texts."""
        if self._encode is None:
            self._encode = plain_encoder(self._model)
        return self._encode(texts)


def reader(root: Path, model: str, recipe: Recipe) -> str:
    """Return the folder of the base model if the recipe has a use for it and it is ready; empty if not."""
    wanted = any(step.operator in _READING for step in (*recipe.documents, *recipe.rows))
    if not (wanted and model and model_name(model) in pulled(root)):
        return ""
    return ensure_base(root, model, lambda _: None).folder
