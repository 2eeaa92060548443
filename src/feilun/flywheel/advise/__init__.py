"""Which means of making a model better at something is worth it: measured on a sample, the cheap ones first.

The room knows means (prompts, passages, examples, adapters), what each costs and gains, and when to stop. It does not
know how a model is served, and does not know what becomes of its advice.
"""

from feilun.flywheel.advise.asking import Outside
from feilun.flywheel.advise.work import Options, advise, questions

__all__ = ["Options", "Outside", "advise", "questions"]
