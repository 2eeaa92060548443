"""JSON Schemas: what of them can be enforced, as grammars, and what the smallest conforming answer is.

The room knows JSON Schema and the text of grammars. It does not know tokens, and loads no library.
"""

from feilun.engines.schema.enforced import (
    CALL_CLOSE,
    CALL_OPEN,
    answer_schema,
    call_grammar,
    call_text,
    functions,
    is_free,
    json_grammar,
    patterns,
    schemas,
    unenforceable,
)
from feilun.engines.schema.smallest import Unsatisfiable, smallest

__all__ = [
    "CALL_CLOSE",
    "CALL_OPEN",
    "Unsatisfiable",
    "answer_schema",
    "call_grammar",
    "call_text",
    "functions",
    "is_free",
    "json_grammar",
    "patterns",
    "schemas",
    "smallest",
    "unenforceable",
]
