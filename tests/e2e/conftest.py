"""The shipped nets and samples, and a service started as a user starts it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from benchmarks.server import REPOSITORY, serve
from tests.e2e.browser import browser, console_page, page  # noqa: F401

KNOWN = REPOSITORY / "samples" / "known"
STRANGERS = REPOSITORY / "samples" / "strangers"

Start = Callable[..., AbstractContextManager[httpx.Client]]


def shots_of(folder: Path) -> dict[str, list[Path]]:
    """Returns the images of every palm in `folder`, by the name of its folder."""
    return {palm.name: sorted(palm.glob("*.png")) for palm in sorted(folder.iterdir())}


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """Returns where the test's service creates its gallery."""
    return tmp_path / "gallery.db"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Returns where the test's service writes its log."""
    return tmp_path / "service.log"


@pytest.fixture
def start(gallery: Path, log: Path) -> Start:
    """Returns a function that starts the service: `with start(PALM_X=...) as http`."""

    def start_with(
        until: str = "/health/ready", **settings: str
    ) -> AbstractContextManager[httpx.Client]:
        settings = {"PALM_GALLERY_URL": f"sqlite:///{gallery}", **settings}
        return serve(settings, log, until=until)

    return start_with


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Starts one service for all tests that leave its gallery unchanged."""
    folder = tmp_path_factory.mktemp("service")
    settings = {"PALM_GALLERY_URL": f"sqlite:///{folder / 'gallery.db'}"}
    with serve(settings, folder / "log", until="/health/ready") as http:
        yield http
