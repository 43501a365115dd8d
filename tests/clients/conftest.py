"""A running service with toy nets, and clients of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from palm_vein_client import PalmClient

from app.settings import Settings
from tests.app.api.conftest import make_app, make_settings
from tests.app.live import live


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path).model_copy(update={"explain": True})


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """Starts a service with an empty gallery, and returns its address."""
    with live(make_app(settings)) as server:
        yield f"http://127.0.0.1:{server.config.port}"


@pytest.fixture
def client(url: str) -> Iterator[PalmClient]:
    with PalmClient(url) as client:
        yield client
