"""The settings: read from the environment, refused when wrong, all documented."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings, variable

ENV_EXAMPLE = Path(__file__).parents[2] / ".env.example"


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALM_NETS", "vgg16:3, alexnet")
    monkeypatch.setenv("PALM_MAX_BODY_MB", "7")
    settings = Settings()
    assert settings.nets == ("vgg16:3", "alexnet")
    assert settings.max_body_mb == 7


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().max_body_mb = 1  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PALM_ENGINE", "onnx"),
        ("PALM_NETS", ""),
        ("PALM_NETS", "vgg16:latest"),
        ("PALM_NETS", "vgg16,,alexnet"),
        ("PALM_GALLERY_URL", "mysql://host/gallery"),
        ("PALM_GALLERY_URL", "sqlite:///"),
        ("PALM_MAX_BODY_MB", "0"),
        ("PALM_FPIR_TARGET", "1"),
        ("PALM_FMR_TARGET", "0"),
        ("PALM_MAX_CONCURRENT", "40"),
        ("PALM_QUEUE_TIMEOUT_S", "-1"),
        ("PALM_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.removeprefix("PALM_").lower()):
        Settings()


def test_the_service_ends_with_one_line_that_names_every_wrong_setting() -> None:
    wrong = {"PALM_ENGINE": "onnx", "PALM_NETS": "vgg16,,alexnet", "PALM_MAX_BODY_MB": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0"],
        env={**wrong, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    (line,) = ended.stderr.splitlines()
    assert "'openvino' or 'tensorflow', not 'onnx'" in line
    assert all(name in line for name in wrong)


def test_every_setting_is_described() -> None:
    assert [name for name, f in Settings.model_fields.items() if not f.description] == []


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    assigned = re.findall(r"^#? ?(PALM_\w+)=", ENV_EXAMPLE.read_text(), re.MULTILINE)
    assert set(assigned) == {variable(name) for name in Settings.model_fields}
