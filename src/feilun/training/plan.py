"""What a training run is told: one frozen plan, written as JSON for the training process.

It knows names, defaults and limits. It does not know how any of them is used.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from feilun.records import content_hash


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of one supervised LoRA run. Paths are absolute; ``start`` is the adapter to go on from, if any.

    The defaults were chosen on the sample organisation (docs/decisions/0007-training.md): enough passes to learn a fact
    from six wordings, and replay of the base model's own answers so that it keeps what it knew. ``epochs`` 0 lets the
    recipe choose.
    """

    base: str
    samples: str
    replay: str
    out: str
    scratch: str
    start: str = ""
    epochs: int = 0
    rank: int = 8
    alpha: int = 16
    learning_rate: float = 1.5e-3
    warmup: float = 0.05
    rows: int = 768
    longest: int = 512
    replay_share: float = 0.5
    keep: float = 4.0
    frozen: float = 0.5
    seed: int = 0
    threads: int = 0
    name: str = ""
    checkpoint_seconds: float = 20.0

    def write(self, file: Path) -> None:
        """Write the plan where the training process reads it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".part")
        fresh.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        fresh.replace(file)

    @staticmethod
    def read(file: Path) -> Plan:
        """Read a plan."""
        return Plan(**json.loads(file.read_text(encoding="utf-8")))

    def digest(self) -> str:
        """Return the hash of all that shapes the result: a checkpoint made under another plan is not continued."""
        settings = asdict(self)
        for name in ("out", "scratch", "start", "checkpoint_seconds", "name", "samples", "replay"):
            settings.pop(name)
        texts = [Path(file).read_text(encoding="utf-8") if file else "" for file in (self.samples, self.replay)]
        start = hashlib.sha256((Path(self.start) / "adapter_model.safetensors").read_bytes()) if self.start else None
        return content_hash([settings, texts, start.hexdigest() if start else ""])
