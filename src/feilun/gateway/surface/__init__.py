"""The public APIs in front of chat: OpenAI responses, Anthropic messages, moderations, batches, as pure translations.

Knows how each API writes requests, answers, events and errors, and what chat completions say to them. Does not know
HTTP, keys, limits, or who answers.
"""

__all__: list[str] = []
