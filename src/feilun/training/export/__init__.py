"""Export: a version of a model as files that other programs take, with a card that says what it was made of.

The room knows PEFT's and Hugging Face's folders, GGUF files, lineage and exam results as they are kept. It does not
know how models are trained, served or examined.
"""

from feilun.training.export.gguf_file import TYPES
from feilun.training.export.whole import FORMS, Exported, export_model

__all__ = ["FORMS", "TYPES", "Exported", "export_model"]
