"""What operators may follow beside the figures: a line of JSON for each call, and spans for OpenTelemetry.

The room knows a call that is over. It does not know how calls are answered or billed, and never holds one up.
"""

from feilun.gateway.observability.watch import Watch, watching

__all__ = ["Watch", "watching"]
