"""How alike the different subjects of a site are: the scale of its thresholds.

How alike two strangers' maps are depends on the camera. Scores allow for every single map
(`app.matching.scores`), but not for what all palms share before one camera. So a threshold counts
deviations above the mean of the scores between the site's own subjects.
Speaker verification scales scores by a cohort of impostors in the same way: R. Auckenthaler,
M. Carey and H. Lloyd-Thomas, "Score normalization for text-independent speaker verification
systems", Digital Signal Processing 10 (2000).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

MAX_COHORT = 100
"""Subjects that are compared with each other; they make 9,900 comparisons."""

LEFT_OUT = 0.02
"""Share of the highest similarities that are left out: one palm may be enrolled as two subjects."""

_LEAST_DEVIATION = 1e-3  # of equal scores, as of toy maps; real ones vary by about 1


@dataclass(frozen=True, slots=True)
class Impostors:
    """Scores, or similarities, of images with the templates of other subjects.

    Attributes:
        mean: their mean.
        deviation: their standard deviation, above 0.
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, cohort: NDArray[np.floating]) -> Self:
        """Measures the scores between the subjects of a cohort.

        Args:
            cohort: [M, M], the score of each subject's first image with that of every subject,
                M at least 2; those with itself are not used. NaN where two images could not be
                compared.

        Returns:
            Their scale; 0 and 1 if no two images can be compared.
        """
        others = cohort[~np.eye(len(cohort), dtype=bool)].astype(np.float64)
        return cls.of_values(others[~np.isnan(others)])

    @classmethod
    def of_values(cls, others: NDArray[np.float64]) -> Self:
        """Measures scores, or similarities, [M] with others; without any, 0 and 1."""
        kept = np.sort(others)[: len(others) - int(LEFT_OUT * len(others))]
        if not len(kept):
            return cls(0.0, 1.0)
        return cls(float(kept.mean()), max(float(kept.std()), _LEAST_DEVIATION))
