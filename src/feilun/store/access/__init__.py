"""Who and what calls may use: members, providers with their sealed keys, endpoints, limits.

Knows their rows, and what is no sensible one. Does not know how a call is routed, counted or answered.
"""
