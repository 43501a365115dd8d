"""The database of synthetic palms that most tests share."""

import os
from pathlib import Path

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
