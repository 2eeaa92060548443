"""What operators may know beside the rows, in a form that travels to other processes.

This module knows exams, terms and which models are asked for. It does not know what operators do with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from feilun.curation.seam import Surroundings
from feilun.engines.embed import plain_encoder
from feilun.records import content_hash


@dataclass(frozen=True)
class Around:
    """Surroundings before their models are opened; ``embedding`` names the embedding model, empty for none."""

    exams: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    embedding: str = ""
    key: bytes = b""
    published: tuple[str, ...] = ()

    @property
    def signature(self) -> bytes:
        """Return what tells these surroundings from others."""
        return content_hash([self.exams, self.terms, self.embedding, self.key.hex(), self.published]).encode()

    def open(self) -> Surroundings:
        """Return the surroundings, with their models at work in this process."""
        embed = _Embed(self.embedding) if self.embedding else None
        return Surroundings(self.exams, self.terms, self.key, self.published, embed)


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
