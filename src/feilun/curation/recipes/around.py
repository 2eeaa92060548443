"""What operators may know beside the rows, in a form that travels to other processes.

This module knows exams, terms and which models are asked for. It does not know what operators do with them.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        embed = plain_encoder(self.embedding) if self.embedding else None
        return Surroundings(self.exams, self.terms, self.key, self.published, embed)
