"""What translators between chat and the Anthropic messages API are tried with, and what no client sends."""

from __future__ import annotations

from hypothesis import strategies as st

ASK = [{"role": "user", "content": "hello"}]
WORDS = [
    *("type", "content", "text", "id", "tool_use_id", "name"),
    *("input", "source", "media_type", "data", "url", "schema"),
]
KINDS = ["text", "image", "tool_use", "tool_result", "thinking", "document", "base64", "url", "json_schema", "custom"]
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(WORDS), ANY, max_size=6)


def use(identifier: str, name: str, arguments: str) -> dict:
    """Return a call of a tool as chat has it."""
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}
