"""Confidence intervals, compared with SciPy."""

import pytest
from scipy.stats import binomtest

from app.matching.intervals import wilson_interval


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (7, 7), (1, 1000), (350, 1024), (1, 2)])
def test_the_interval_is_that_of_scipy(hits: int, count: int) -> None:
    expected = binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson_interval(hits, count) == pytest.approx((expected.low, expected.high), abs=1e-12)
