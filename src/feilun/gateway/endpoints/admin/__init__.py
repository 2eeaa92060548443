"""``/api`` for those who run a workspace: keys, members, providers, endpoints, limits, and what was used.

Knows the shapes of these. Does not know how a call is let in, routed or counted.
"""

from feilun.gateway.endpoints.admin.whole import router

__all__ = ["router"]
