"""Counts and times of calls, for Prometheus: plain numbers on the hot path, made into text only when somebody asks.

This module knows names of figures. It does not know what is called. Names follow Prometheus' conventions (base units,
``_total`` for counters) and, where there is one, OpenTelemetry's GenAI conventions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from feilun.records import Usage

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_KINDS = ("prompt", "completion", "cached")


@dataclass(slots=True)
class Histogram:
    """How many times were at most how long."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    total: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count a time."""
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, how many were at most that)."""
        found, count = [], 0
        for bound, number in zip([*map(str, SECONDS), "+Inf"], self.buckets, strict=True):
            count += number
            found.append((bound, float(count)))
        return found


@dataclass(slots=True)
class Figures:
    """The figures of one endpoint of one workspace."""

    calls: dict[str, int] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0])
    cost: int = 0
    first: Histogram = field(default_factory=Histogram)
    token: Histogram = field(default_factory=Histogram)
    whole: Histogram = field(default_factory=Histogram)


class Metrics(Collector):
    """What happened since the start. ``gauges`` adds figures of now: (name, help, value)."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._figures: dict[tuple[str, str], Figures] = {}
        self._refusals: dict[tuple[str, str], int] = {}
        self.running = 0
        self.retries = 0
        self.gauges: list[Callable[[], Iterator[tuple[str, str, float]]]] = []

    def finished(
        self, ws: str, endpoint: str, status: str, usage: Usage, cost: int, times: tuple[float, float]
    ) -> None:
        """Count a call that is over. ``times``: until the first token (0: none came), and in all (s)."""
        figures = self._figures.get((ws, endpoint))
        if figures is None:
            figures = self._figures[ws, endpoint] = Figures()
        figures.calls[status] = figures.calls.get(status, 0) + 1
        tokens = figures.tokens
        tokens[0] += usage.prompt_tokens
        tokens[1] += usage.completion_tokens
        tokens[2] += usage.cached_tokens
        figures.cost += cost
        first, whole = times
        figures.whole.observe(whole)
        if first:
            figures.first.observe(first)
            if usage.completion_tokens > 1:
                figures.token.observe((whole - first) / (usage.completion_tokens - 1))

    def refused(self, ws: str, code: str) -> None:
        """Count a call that was refused before anything was sent, by the code of its error."""
        self._refusals[ws, code] = self._refusals.get((ws, code), 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Yield all figures in Prometheus' form."""
        yield from self.of(None)
        for read in self.gauges:
            for name, text, value in read():
                yield GaugeMetricFamily(name, text, value=value)

    def of(self, workspace: str | None) -> Iterator[Metric]:
        """Yield the figures of one workspace, or of all."""
        labels = ["workspace", "endpoint"]
        calls = CounterMetricFamily("feilun_calls", "Calls that are over", labels=[*labels, "status"])
        tokens = CounterMetricFamily("feilun_tokens", "Tokens, as engines counted them", labels=[*labels, "type"])
        money = CounterMetricFamily("feilun_cost", "Cost of calls, in units of money", labels=labels)
        first = HistogramMetricFamily("feilun_time_to_first_token_seconds", "Until the first token", labels=labels)
        token = HistogramMetricFamily("feilun_time_per_output_token_seconds", "From token to token", labels=labels)
        whole = HistogramMetricFamily("feilun_call_duration_seconds", "From request to last byte", labels=labels)
        refusals = CounterMetricFamily("feilun_refusals", "Calls that were not sent", labels=["workspace", "code"])
        for (ws, code), number in sorted(self._refusals.items()):
            if workspace in {None, ws}:
                refusals.add_metric([ws, code], number)
        for (ws, endpoint), figures in sorted(self._figures.items()):
            if workspace not in {None, ws}:
                continue
            place = [ws, endpoint]
            for status, number in sorted(figures.calls.items()):
                calls.add_metric([*place, status], number)
            for kind, number in zip(_KINDS, figures.tokens, strict=True):
                tokens.add_metric([*place, kind], number)
            money.add_metric(place, figures.cost / 1e9)
            for family, histogram in ((first, figures.first), (token, figures.token), (whole, figures.whole)):
                family.add_metric(place, histogram.cumulative(), histogram.total)
        yield from (calls, refusals, tokens, money, first, token, whole)
        yield CounterMetricFamily("feilun_retries", "Calls that were sent again", value=self.retries)
        yield GaugeMetricFamily("feilun_calls_running", "Calls that are being answered", value=self.running)

    def text(self, workspace: str | None = None) -> bytes:
        """Return the page that Prometheus reads: of one workspace, or of the whole gateway."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self if workspace is None else _Part(self, workspace))
        return generate_latest(registry)


class _Part(Collector):
    """The figures of one workspace."""

    def __init__(self, metrics: Metrics, workspace: str) -> None:
        self._metrics, self._workspace = metrics, workspace

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._metrics.of(self._workspace)
