"""Training: from a dataset version and a base model to a new model version.

The room knows recipes (flat scripts over shared pure functions), packs, losses, checkpoints and golden outputs. It does
not know exams, verdicts, endpoints or keys: whether a version is any good, and who uses it, is decided elsewhere.
"""

from feilun.training.job import foresee, run_training

__all__ = ["foresee", "run_training"]
