"""Durations of a request's stages."""

import time


class Clock:
    """Measures the stages of one request, from its creation."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Adds the time since the last lap to that of `stage`."""
        now = time.perf_counter()
        self._laps[stage] = self._laps.get(stage, 0.0) + 1000 * (now - self._last)
        self._last = now

    def timings_ms(self) -> dict[str, float]:
        """Returns the duration of every stage, and as "total" that up to the last lap, in ms."""
        return {**self._laps, "total": 1000 * (self._last - self._start)}
