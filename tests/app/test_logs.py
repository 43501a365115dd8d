"""The log: JSON, a line for each event, once."""

import json
import logging
from collections.abc import Iterator

import pytest

from app.logs import configure_logging


@pytest.fixture
def loggers() -> Iterator[None]:
    """Leaves the service's logger as it was."""
    service = logging.getLogger("app")
    before = (service.handlers, service.level, service.propagate)
    yield
    service.handlers, service.level, service.propagate = before


@pytest.mark.usefixtures("loggers")
def test_a_line_is_written_once_even_if_a_library_sets_up_the_root_logger(
    capfd: pytest.CaptureFixture[str],
) -> None:
    root = logging.StreamHandler()
    logging.root.addHandler(root)
    try:
        configure_logging("INFO")
        logging.getLogger("app.api").warning("hello", extra={"fields": {"status": 503}})
    finally:
        logging.root.removeHandler(root)
    (line,) = capfd.readouterr().err.splitlines()
    written = json.loads(line)
    assert (written["level"], written["message"], written["status"]) == ("WARNING", "hello", 503)
