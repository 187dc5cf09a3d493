"""What /metrics shows, in a registry of our own so that several servers fit in one process."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass
class Outcome:
    """How a call ended."""

    failed: bool = False


class Metrics:
    """Counters of one server. Thread-safe.

    Attributes:
        registry: where they are.
        refused: requests that were refused before they reached a method, by status.
        grpc_refused: calls over gRPC that were, by the name of the status.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()
        PlatformCollector(registry=registry)
        ProcessCollector(registry=registry)
        self.registry = registry
        self._seconds = Histogram(
            "tsstore_rpc_seconds",
            "Time to carry out a call.",
            ["method"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "tsstore_rpc_errors", "Calls that failed.", ["method"], registry=registry
        )
        self.refused = Counter(
            "tsstore_http_refused",
            "Requests refused before they reached a method.",
            ["status"],
            registry=registry,
        )
        self.grpc_refused = Counter(
            "tsstore_grpc_refused",
            "Calls over gRPC refused before they reached a method.",
            ["status"],
            registry=registry,
        )

    @contextmanager
    def timed(self, method: str) -> Iterator[Outcome]:
        """Count and time a call."""
        outcome = Outcome()
        begin = perf_counter()
        try:
            yield outcome
        finally:
            self._seconds.labels(method).observe(perf_counter() - begin)
            if outcome.failed:
                self._errors.labels(method).inc()

    def watch(self, prefix: str, numbers: Callable[[], Mapping[str, Any]], label: str = "") -> None:
        """Show numbers that others keep, as they are when /metrics is asked.

        Args:
            prefix: begins the names, such as `tsstore_store`.
            numbers: name to number; with `label`, label value to a mapping of name to number.
                Values that are no numbers are left out.
            label: name of the label, such as `worker`.
        """
        self.registry.register(_Watched(prefix, numbers, label))

    def text(self) -> bytes:
        """The page."""
        return generate_latest(self.registry)


def lines_of(workers: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The parts of workers that have some: `worker.part` to its numbers."""
    found: dict[str, Mapping[str, Any]] = {}
    for worker, status in workers.items():
        parts = status.get("lines")
        for name, numbers in parts.items() if isinstance(parts, dict) else ():
            if isinstance(numbers, dict):
                found[f"{worker}.{name}"] = numbers
    return found


class _Watched:
    def __init__(self, prefix: str, numbers: Callable[[], Mapping[str, Any]], label: str) -> None:
        self._prefix = prefix
        self._numbers = numbers
        self._label = label

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        labels = [self._label] if self._label else []
        groups = self._numbers() if self._label else {"": self._numbers()}
        for label, numbers in groups.items():
            for name, value in numbers.items():
                if isinstance(value, bool) or not isinstance(value, int | float):
                    continue
                full = f"{self._prefix}_{name}"
                if full not in families:
                    families[full] = GaugeMetricFamily(
                        full, f"{name} of {self._prefix}", None, labels
                    )
                families[full].add_metric([label] if labels else [], float(value))
        yield from families.values()
