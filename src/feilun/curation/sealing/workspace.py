"""Seal a training set against all exams of a workspace.

This module knows where exams are kept and which embedding model is set. It does not know how leaks are found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from feilun.curation.sealing.seal import Embed, Sealed, seal
from feilun.curation.sealing.secret import sealed_items
from feilun.engines.embed import plain_encoder
from feilun.records import EvalItem, Record
from feilun.store.database import Database


def seal_training(
    db: Database,
    ws: str,
    records: Sequence[Record],
    embedding: str = "",
    extra: Iterable[EvalItem] = (),
    besides: Collection[str] = (),
) -> Sealed:
    """Return the records without those that give away an item of any exam of the workspace.

    ``embedding`` names the embedding model (the setting of that name; empty is none). ``extra`` are items of exams that
    are not kept yet, ``besides`` names exams that these replace. The model is loaded only if something must be compared
    by meaning.
    """
    items = [*extra, *sealed_items(db, ws, besides)]
    return seal(records, items, LazyEmbedder(embedding) if embedding else None)


class LazyEmbedder:
    """An embedding model that is loaded when it is first asked."""

    def __init__(self, model: str) -> None:
        """Keep the name of the model."""
        self._model = model
        self._encode: Embed | None = None

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors (n × d) of texts; raise BadModel if there is no such model."""
        if self._encode is None:
            self._encode = plain_encoder(self._model)
        return self._encode(texts)
