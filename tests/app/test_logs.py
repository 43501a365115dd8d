"""The log: JSON, a line for each event, once."""

import json
import logging
from collections.abc import Iterator

import pytest

from app.logs import configure_logging


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Leaves the loggers as they were."""
    configured = [logging.getLogger(name) for name in ("app", "uvicorn", "uvicorn.access")]
    before = [(log.handlers, log.level, log.propagate, log.disabled) for log in configured]
    yield
    for log, state in zip(configured, before, strict=True):
        log.handlers, log.level, log.propagate, log.disabled = state


def test_a_line_is_written_once_despite_a_root_handler(capfd: pytest.CaptureFixture[str]) -> None:
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


def test_the_server_s_lines_are_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    logging.getLogger("uvicorn.error").info("Shutting down")
    logging.getLogger("uvicorn.access").info("GET /v1/subjects/ada")
    (line,) = capfd.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "Shutting down"


def test_an_exception_stays_in_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("app").exception("failed")
    (line,) = capfd.readouterr().err.splitlines()
    assert "ValueError: first\nsecond" in json.loads(line)["exception"]


def test_lines_below_the_level_are_left_out(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("WARNING")
    logging.getLogger("app").info("hello")
    assert capfd.readouterr().err == ""
