"""What a training run is told: one frozen plan, written as JSON for the training process.

It knows names, defaults and limits. It does not know how any of them is used.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from feilun.records import JSON, content_hash


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of one run. Paths are absolute; ``start`` is the adapter to go on from, if any.

    The defaults were chosen on the sample organisation (docs/decisions/0007-training.md): enough passes to learn a fact
    from six wordings, and replay of the base model's own answers so that it keeps what it knew. ``epochs`` 0 lets the
    recipe choose. ``replay_prompts`` names what the base is asked (``prompts``), ``replay_tokens`` how far its answers
    are followed. ``samples`` and ``held_out`` are JSON lines of the shape that ``method`` takes; ``options`` are what
    it alone knows. ``batch`` is samples a step (0: as many as fit into ``rows`` tokens), ``micro`` samples a backward
    pass at most (0: as many as fit). Products are made in ``dtype``. So many
    ``checkpoints`` on the way are left as adapters of their own. ``named`` are the settings that somebody chose: no
    probe looks for those.
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
    replay_prompts: str = "everyday"
    replay_tokens: int = 24
    keep: float = 4.0
    frozen: float = 0.5
    seed: int = 0
    threads: int = 0
    name: str = ""
    checkpoint_seconds: float = 20.0
    method: str = "supervised"
    options: JSON = field(default_factory=dict)
    named: tuple[str, ...] = ()
    held_out: str = ""
    batch: int = 0
    micro: int = 0
    dtype: str = "bfloat16"
    checkpoints: int = 0

    def write(self, file: Path) -> None:
        """Write the plan where the training process reads it."""
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(".part")
        fresh.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        fresh.replace(file)

    @staticmethod
    def read(file: Path) -> Plan:
        """Read a plan."""
        content = json.loads(file.read_text(encoding="utf-8"))
        return Plan(**{**content, "named": tuple(content.get("named", ()))})

    def digest(self) -> str:
        """Return the hash of all that shapes the result: a checkpoint made under another plan is not continued."""
        settings = asdict(self)
        for name in ("out", "scratch", "start", "checkpoint_seconds", "name", "samples", "replay", "held_out"):
            settings.pop(name)
        files = (self.samples, self.replay, self.held_out)
        # A replay that is not made yet is asked of the base, which is among the settings.
        there = [file if file != self.replay or Path(file).is_file() else "" for file in files]
        texts = [Path(file).read_text(encoding="utf-8") if file else "" for file in there]
        start = hashlib.sha256((Path(self.start) / "adapter_model.safetensors").read_bytes()) if self.start else None
        return content_hash([settings, texts, start.hexdigest() if start else ""])


def room(plan: Plan) -> int:
    """Return how many rows every pass is filled up to: all alike where packs are full anyhow, else none to speak of."""
    return 0 if plan.batch or plan.micro else plan.rows


def read_lines(file: str) -> list[JSON]:
    """Return the objects of a file of JSON lines; none of no file."""
    if not file:
        return []
    # Not splitlines(): JSON texts may hold U+2028 unescaped.
    return [json.loads(line) for line in Path(file).read_text(encoding="utf-8").split("\n") if line]
