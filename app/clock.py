"""Times of a request's stages."""

import time


class Clock:
    """Runs from its creation; one for each request."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Books the time since the last lap as `stage`."""
        now = time.perf_counter()
        self._laps[stage] = round(1000 * (now - self._last), 3)
        self._last = now

    def timings_ms(self) -> dict[str, float]:
        """Every stage, and "total" up to the last lap."""
        return {**self._laps, "total": round(1000 * (self._last - self._start), 3)}
