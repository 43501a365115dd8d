"""What the service counts and times while it answers, for `/metrics`.

Every label has few values, all known beforehand: whoever reads the metrics learns no id, name, key
or path. The table in docs/monitoring.md says what each metric means.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import get_args

from fastapi import Request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app import answers
from app.matching.decision import Decision
from app.numbers import show_coarsely
from app.palm.errors import PoorQuality

REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
STAGE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
# Of histograms with negative bounds, no sum is shown, which would tell each value.
SCORES = (-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 25, 30)
# Near the threshold as fine as scores are shown: so one can tell whom another threshold changes.
MARGINS = (-10, -5, *(half / 2 for half in range(-7, 7)), 5, 8, 12, 20)


class Metrics:
    """The metrics of one application; safe for threads."""

    def __init__(self) -> None:
        """Begins to count."""
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "palm_requests",
            "Requests that were answered.",
            ("method", "route", "status", "problem"),
            registry=registry,
        )
        self._request_s = Histogram(
            "palm_request_seconds",
            "Time from a request's head to the end of its answer, in seconds.",
            ("route",),
            buckets=REQUEST_S,
            registry=registry,
        )
        self._stage_s = Histogram(
            "palm_stage_seconds",
            "Time that one answer took in each stage, in seconds.",
            ("stage",),
            buckets=STAGE_S,
            registry=registry,
        )
        self._queue_s = Histogram(
            "palm_queue_seconds",
            "Time that a request waited until it could compute, in seconds.",
            buckets=REQUEST_S,
            registry=registry,
        )
        self._decisions = Counter(
            "palm_decisions",
            "Decisions about palms.",
            ("operation", "decision"),
            registry=registry,
        )
        self._best_score = Histogram(
            "palm_best_score",
            "Best score of each decision, rounded down to a half, in standard deviations.",
            ("decision",),
            buckets=SCORES,
            registry=registry,
        )
        self._margin = Histogram(
            "palm_score_margin",
            "The best score, rounded down to a half, minus its threshold, in standard deviations.",
            ("decision",),
            buckets=MARGINS,
            registry=registry,
        )
        self._quality = Counter(
            "palm_quality_refusals",
            "Images that were refused for a component of their quality.",
            ("component",),
            registry=registry,
        )
        for operation, decision in product(("identify", "verify"), get_args(Decision)):
            self._decisions.labels(operation, decision)  # from 0 on, so that the first one counts

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics as they are now."""
        for metric in self._registry.collect():
            # When a series began says when somebody first came, and doubles their number.
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric

    def count_request(
        self, method: str, route: str, status: int, problem: str, seconds: float
    ) -> None:
        """Counts a request that was answered.

        Args:
            method: its method, one of a few.
            route: its route's path with the names of parameters, never their values.
            status: the answer's status.
            problem: the end of the problem's type; the status if it has no type of its own.
            seconds: how long it took.
        """
        self._requests.labels(method, route, f"{status // 100}xx", problem).inc()
        self._request_s.labels(route).observe(seconds)

    def count_wait(self, seconds: float) -> None:
        """Counts a request that waited for its place to compute, and got it."""
        self._queue_s.observe(seconds)

    def count_stages(self, timings_ms: Mapping[str, float]) -> None:
        """Counts the stages of an answer; see `Clock.timings_ms`."""
        for stage, duration_ms in timings_ms.items():
            if stage != "total":
                self._stage_s.labels(stage).observe(duration_ms / 1000)

    def count_decision(
        self, operation: str, found: answers.Identification | answers.Verification
    ) -> None:
        """Counts a decision about a palm.

        Scores are as coarse as in answers to callers without the scope `scores`, see `coarsen`:
        whoever reads the metrics between two requests knows the buckets of one score.
        """
        self._decisions.labels(operation, found.decision).inc()
        if found.score is not None:
            score = show_coarsely(found.score)
            self._best_score.labels(found.decision).observe(score)
            self._margin.labels(found.decision).observe(score - found.threshold.score)

    def count_quality(self, error: PoorQuality) -> None:
        """Counts an image that was refused for its quality, once for each reason."""
        for component in _components(error.reasons):
            self._quality.labels(component).inc()


def metrics_of(request: Request) -> Metrics:
    """Returns the metrics of the application that answers a request."""
    return request.app.state.metrics


def as_text(metrics: Iterable[Metric]) -> bytes:
    """Returns metrics in Prometheus' text format."""

    class Shown(Collector):
        def collect(self) -> Iterable[Metric]:
            return metrics

    return generate_latest(Shown())


def _components(reasons: Iterable[str]) -> set[str]:
    """Returns the components in the names of reasons, such as `images.0.sharpness`."""
    return {name.rpartition(".")[2] for name in reasons}
