"""Spans of calls for OpenTelemetry, named as its GenAI conventions name them, sent in batches in the background.

Texts are never in them. This module knows the conventions and the SDK. It does not know when a call is over.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from feilun import __version__
from feilun.errors import BadSetting
from feilun.gateway.observability.over import Over
from feilun.records import JSON

TRACES = "/v1/traces"
BATCH_SECONDS = 2.0
CLOSE_SECONDS = 5.0
_OPERATIONS = {"completion": "text_completion", "embedding": "embeddings", "rerank": "rerank"}
_PROVIDERS = {"anthropic": "anthropic", "openai": "openai"}
_ASKED = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "n": "choice.count",
}


class Telemetry:
    """Sends a span for each call that is over."""

    def __init__(self, address: str) -> None:
        """Send to a collector; ``address`` is its base, or the whole address of its traces."""
        parts = urlsplit(address)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BadSetting(f"telemetry: {address!r} is no address of a collector.", "Such as http://127.0.0.1:4318.")
        endpoint = address if parts.path.strip("/") else address.rstrip("/") + TRACES
        named = Resource.create({SERVICE_NAME: "feilun", SERVICE_VERSION: __version__})
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint, timeout=CLOSE_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=BATCH_SECONDS * 1000))
        self._tracer = self._provider.get_tracer("feilun.gateway", __version__)

    def tell(self, over: Over) -> None:
        """Queue the span of a call; the newest are dropped when a collector does not keep up."""
        call = over.call
        operation = _OPERATIONS.get(call.kind, "chat")
        span = self._tracer.start_span(
            f"{operation} {over.name}",
            kind=SpanKind.CLIENT,
            attributes=_attributes(over, operation),
            start_time=int(call.created * 1e9),
        )
        if over.status in {"error", "refused"}:
            span.set_status(Status(StatusCode.ERROR, over.error))
        span.end(int((call.created + over.seconds) * 1e9))

    def close(self) -> None:
        """Send what is queued, or give up after a while."""
        self._provider.shutdown()


def _attributes(over: Over, operation: str) -> JSON:
    call, usage, sent = over.call, over.usage, over.sent
    found: JSON = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": over.name,
        "gen_ai.request.stream": call.stream,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.response.id": call.id,
        "feilun.workspace": call.key.workspace,
        "feilun.key": call.key.id,
        "feilun.status": over.status,
    }
    for ours, theirs in _ASKED.items():
        value = call.body.get(ours)
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63:
            found[f"gen_ai.request.{theirs}"] = value
    if sent is not None:
        found["gen_ai.provider.name"] = _PROVIDERS.get(sent.api, over.provider)
        found["gen_ai.response.model"] = over.model
        found["gen_ai.response.finish_reasons"] = over.finishes()
    if over.server is not None:
        found["server.address"], found["server.port"] = over.server
    if over.first:
        found["gen_ai.response.time_to_first_chunk"] = over.first
    if over.error:
        found["error.type"] = over.error
    return found
