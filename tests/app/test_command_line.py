"""`python -m app`: whatever prevents its start is named in one line."""

import socket
from pathlib import Path

import pytest

from app.__main__ import listen, main
from app.settings import Settings, variable


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes to a working directory without a .env."""
    monkeypatch.chdir(tmp_path)


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """Returns the one line that a failing start writes."""
    assert main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_answers_are_sent_at_once() -> None:
    # Without this option the body of an answer waits until the client has confirmed its header.
    with (
        listen("127.0.0.1", 0) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_busy_port_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("PALM_PORT", str(port))
        line = refusal(capsys)
    assert f"127.0.0.1, port {port}" in line
    assert "PALM_PORT" in line


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b"])
def test_an_address_of_no_interface_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    monkeypatch.setenv("PALM_HOST", host)
    line = refusal(capsys)
    assert host in line
    assert "PALM_HOST" in line


@pytest.mark.parametrize(
    ("name", "value"), [("PALM_PORT", "80000"), ("PALM_GALERY_URL", "sqlite:///gallery.db")]
)
def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert name in refusal(capsys)


def test_help_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    listed = capsys.readouterr().out
    assert [name for name in Settings.model_fields if variable(name) not in listed] == []


def test_an_argument_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--port", "8001"])
    assert ended.value.code == 2
    assert "--port" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["outdated"], ["calibrate", "--write"]])
def test_a_command_that_cannot_be_carried_out_says_why_in_one_line(
    capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "models_store/alexnet" in line
