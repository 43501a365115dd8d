"""The databases that most tests share."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.commands.synthesize import SynthesizeConfig, synthesize

# As the command line sets it: a run in this process and one in another must compute alike.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a database with four palms, three sessions and three shots."""
    out = tmp_path_factory.mktemp("palms") / "database"
    synthesize(SynthesizeConfig(out=out, identities=4, sessions=3, shots=3))
    return out


STRANGERS = 56
"""As many as calibrate an FMR of 1e-3, which four identities need."""


def write_strangers(
    folder: Path, identities: int, *, sessions: int = 2, shots: int = 2, seed: int = 0
) -> Path:
    """Writes smooth random images of 96 px, alike for each identity, and returns the folder."""
    rng = np.random.default_rng(seed)
    for identity in range(identities):
        palm = rng.normal(size=(16, 16))
        for session in range(1, sessions + 1):
            target = folder / f"n{identity + 1:03}" / f"s{session}"
            target.mkdir(parents=True)
            for shot in range(1, shots + 1):
                noisy = 128 + 25 * (palm + rng.normal(0, 0.3, palm.shape))
                image = cv2.resize(noisy, (96, 96), interpolation=cv2.INTER_CUBIC)
                cv2.imwrite(str(target / f"{shot:02}.png"), image.clip(0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of 56 strangers with two sessions of two shots, who calibrate."""
    return write_strangers(tmp_path_factory.mktemp("strangers") / "calibrating", STRANGERS)


@pytest.fixture(scope="session")
def other_strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of six strangers for evaluation."""
    return write_strangers(tmp_path_factory.mktemp("strangers") / "measuring", 6, shots=1, seed=1)
