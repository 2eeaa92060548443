"""The face that OpenAI's and Anthropic's clients see: keys, routing, streaming, metering, and jobs that calls start.

This room knows HTTP, the shapes of the OpenAI API, and which workspace a key belongs to. It does not know how tokens
are made, how a model is trained, what makes a verdict, or where anything is kept: engines, training and the store do.
"""

from feilun.gateway.app import create_app, create_server
from feilun.gateway.serve import up

__all__ = ["create_app", "create_server", "up"]
