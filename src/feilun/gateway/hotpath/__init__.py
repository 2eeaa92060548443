"""What every call to a model passes: admission, budgets, routing, the engine or provider, and settlement.

The room knows calls, from the parsed body to the trace on disk. It does not know the shapes of any API but OpenAI's
chats, completions and embeddings, nor how keys, endpoints and limits came to be.
"""

from feilun.gateway.hotpath.path import Hotpath

__all__ = ["Hotpath"]
