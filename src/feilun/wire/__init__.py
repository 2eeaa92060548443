"""HTTP/1.1 as fast as Python goes: a server, a client pool, server-sent events, and addresses that may be called.

The room knows bytes, connections and time limits. It does not know keys, models, workspaces or any API's shapes.
"""
