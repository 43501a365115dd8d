"""Attacks the service with each kind of hostile client; see `benchmarks.hostile`."""

from collections.abc import Iterator

from tqdm import tqdm

from benchmarks.attacks import ATTACKS
from benchmarks.hostile import HEALTH_MS, measure
from benchmarks.torture.outcome import Options, Row, counted

SECONDS = 6.0


def run(options: Options) -> Iterator[Row]:
    """Attacks a new service with each kind."""
    seconds = max(SECONDS * options.scale, 2.0)
    for kind in tqdm(ATTACKS, "hostile clients"):
        found = measure(kind, seconds)
        unclean = any(one.startswith("5") and one != "503" for one in found["answers"])
        passed = not unclean and not found["failures"] and found["p99_ms"] <= HEALTH_MS
        yield Row(
            "",
            f"{kind}, {seconds:g} s",
            f"no 5xx but 503; /health/live always answers, p99 {HEALTH_MS:g} ms",
            f"{counted(found['answers'])}; /health/live: {found['failures']} of "
            f"{found['probes']} failed, p50 {found['p50_ms']:.1f} ms, "
            f"p99 {found['p99_ms']:.1f} ms; {found['rise_mb']} MiB more",
            passed,
        )
