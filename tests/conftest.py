"""A small database of synthetic palms."""

from pathlib import Path

import pytest

from training.commands.synthesize import SynthesizeConfig, synthesize


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four palms, three sessions, three shots."""
    out = tmp_path_factory.mktemp("palms") / "database"
    synthesize(SynthesizeConfig(out=out, identities=4, sessions=3, shots=3))
    return out
