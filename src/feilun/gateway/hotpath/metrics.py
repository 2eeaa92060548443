"""Counts and times of calls, for Prometheus: plain numbers on the hot path, made into text only when somebody asks.

This module knows names of figures. It does not know what is called. Names follow Prometheus' conventions (base units,
``_total`` for counters) and, where there is one, OpenTelemetry's GenAI conventions.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from operator import itemgetter

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from feilun.records import Usage

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_KINDS = ("prompt", "completion", "cached")
_STATUSES = ("ok", "cancelled", "error")
# The figures of an endpoint are one row of numbers: with a thousand endpoints every object more is one that no cache
# holds when its next call comes. Calls by status, tokens by kind, cost, then the times: each its buckets and their sum.
_TOKENS = len(_STATUSES)
_COST = _TOKENS + len(_KINDS)
_SUM = len(SECONDS) + 1
_FIRST, _TOKEN, _WHOLE = (_COST + 1 + number * (_SUM + 1) for number in range(3))
_ROW = array("d", bytes(8 * (_WHOLE + _SUM + 1)))


def _observe(row: array[float], place: int, seconds: float) -> None:
    row[place + bisect_left(SECONDS, seconds)] += 1
    row[place + _SUM] += seconds


def _cumulative(row: array[float], place: int) -> list[tuple[str, float]]:
    """Return (upper bound, how many were at most that)."""
    bounds = [*map(str, SECONDS), "+Inf"]
    return list(zip(bounds, accumulate(row[place : place + _SUM]), strict=True))


class Metrics(Collector):
    """What happened since the start. ``gauges`` adds figures of now: (name, help, value)."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._figures: dict[tuple[str, str], array[float]] = {}  # by workspace and endpoint
        self._refusals: dict[tuple[str, str], int] = {}
        self.running = 0
        self.retries = 0
        self.gauges: list[Callable[[], Iterator[tuple[str, str, float]]]] = []

    def finished(
        self, ws: str, endpoint: str, status: str, usage: Usage, cost: int, times: tuple[float, float]
    ) -> None:
        """Count a call that is over. ``times``: until the first token (0: none came), and in all (s)."""
        row = self._figures.get((ws, endpoint))
        if row is None:
            row = self._figures[ws, endpoint] = _ROW[:]
        row[_STATUSES.index(status)] += 1
        row[_TOKENS] += usage.prompt_tokens
        row[_TOKENS + 1] += usage.completion_tokens
        row[_TOKENS + 2] += usage.cached_tokens
        row[_COST] += cost
        first, whole = times
        _observe(row, _WHOLE, whole)
        if first:
            _observe(row, _FIRST, first)
            if usage.completion_tokens > 1:
                _observe(row, _TOKEN, (whole - first) / (usage.completion_tokens - 1))

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
        for (ws, endpoint), row in sorted(self._figures.items(), key=itemgetter(0)):
            if workspace not in {None, ws}:
                continue
            place = [ws, endpoint]
            for status, count in zip(_STATUSES, row[:_TOKENS], strict=True):
                if count:
                    calls.add_metric([*place, status], count)
            for kind, count in zip(_KINDS, row[_TOKENS:_COST], strict=True):
                tokens.add_metric([*place, kind], count)
            money.add_metric(place, row[_COST] / 1e9)
            for family, at in ((first, _FIRST), (token, _TOKEN), (whole, _WHOLE)):
                family.add_metric(place, _cumulative(row, at), row[at + _SUM])
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
