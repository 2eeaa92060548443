"""The public APIs in front of chat: OpenAI responses, Anthropic messages, moderations, and the work of batches.

Knows how each API writes requests, answers, events and errors, and what chat completions say to them. Does not know
HTTP, limits, or who answers.
"""
