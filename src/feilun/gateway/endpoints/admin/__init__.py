"""``/api`` for those who run a workspace: keys, members, providers, endpoints, limits, the review queue, and usage.

Knows the shapes of these. Does not know how a call is let in, routed or counted.
"""

from feilun.gateway.endpoints.admin.whole import router

__all__ = ["router"]
