"""The settings: read from the environment and .env, refused when wrong, all documented."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings, read_settings, variable, without_password

ENV_EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Changes to a working directory without a .env, and returns it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALM_NETS", "vgg16:3, alexnet")
    monkeypatch.setenv("PALM_MAX_BODY_MB", "7")
    settings = read_settings()
    assert settings.nets == ("vgg16:3", "alexnet")
    assert settings.max_body_mb == 7


def test_the_environment_overrides_the_working_directory_s_env_file(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (folder / ".env").write_text("PALM_PORT=8001\nPALM_NETS=vgg16\nENGINE=tensorflow\nPORT=9\n")
    monkeypatch.setenv("PALM_PORT", "8002")
    settings = read_settings()
    assert (settings.port, settings.nets, settings.engine) == (8002, ("vgg16",), "openvino")


def test_the_example_is_an_env_file_of_the_defaults(folder: Path) -> None:
    (folder / ".env").write_text(ENV_EXAMPLE.read_text())
    assert read_settings() == Settings()


def test_a_search_in_the_database_needs_a_gallery_in_postgresql(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PALM_SEARCH", "pgvector")
    with pytest.raises(ValueError, match=r"^PALM_SEARCH: .*set PALM_GALLERY_URL to one, or set"):
        read_settings()
    monkeypatch.setenv("PALM_GALLERY_URL", "postgresql://palm:secret@host/palm")
    assert read_settings().search == "pgvector"
    monkeypatch.setenv("PALM_OUTAGE_S", "60")
    with pytest.raises(
        ValueError, match=r"^PALM_OUTAGE_S: .*set PALM_OUTAGE_S=0, or set PALM_S.*'60'"
    ):
        read_settings()
    monkeypatch.setenv("PALM_OUTAGE_S", "0")
    assert read_settings().search == "pgvector"
    monkeypatch.setenv("PALM_SEARCH", "pgvectors")
    with pytest.raises(ValueError, match=r"^PALM_SEARCH: .*'memory' or 'pgvector'"):
        read_settings()


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().max_body_mb = 1  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PALM_HOST", ""),
        ("PALM_PORT", "0"),
        ("PALM_PORT", "80000"),
        ("PALM_ROOT_PATH", "palm/"),
        ("PALM_ENGINE", "onnx"),
        ("PALM_NETS", ""),
        ("PALM_NETS", "vgg16:latest"),
        ("PALM_NETS", "My-net"),
        ("PALM_NETS", "../vgg16"),
        ("PALM_NETS", "vgg16,,alexnet"),
        ("PALM_GALLERY_URL", "mysql://host/gallery"),
        ("PALM_NETS", "vgg16:" + "9" * 5000),
        ("PALM_GALLERY_URL", "sqlite:///"),
        ("PALM_GALLERY_URL", "sqlite:///:memory:"),
        ("PALM_GALLERY_URL", "sqlite:///gallery.db?timeout=soon"),
        ("PALM_GALLERY_URL", "sqlite:///file:gallery.db"),
        ("PALM_GALLERY_URL", "postgresql://host"),
        ("PALM_GALLERY_URL", "postgresql://ada@host/db?sslmode=disable"),
        ("PALM_GALLERY_URL", "postgresql://ada:s/3@host/db"),
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
    with pytest.raises(ValueError, match=f"^{name}: .*, not ") as refused:
        read_settings()
    assert "\n" not in str(refused.value)


def test_every_wrong_setting_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {"PALM_ENGINE": "onnx", "PALM_NETS": "vgg16,,alexnet", "PALM_MAX_BODY_MB": "0"}
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="'openvino' or 'tensorflow', not 'onnx'") as refused:
        read_settings()
    assert all(name in str(refused.value) for name in wrong)


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_an_unknown_setting_is_refused_with_the_nearest_known_one(
    monkeypatch: pytest.MonkeyPatch, folder: Path, place: str
) -> None:
    if place == ".env":
        (folder / ".env").write_text("PALM_GALERY_URL=sqlite:///secret.db\n")
    else:
        monkeypatch.setenv("PALM_GALERY_URL", "sqlite:///secret.db")
    with pytest.raises(ValueError, match=r"PALM_GALERY_URL .* PALM_GALLERY_URL\?") as refused:
        read_settings()
    assert "secret" not in str(refused.value)


def test_an_env_file_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / ".env").write_bytes(b"PALM_NETS=\xff")
    with pytest.raises(ValueError, match=re.escape(str(folder / ".env"))):
        read_settings()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////data/gallery.db",
        "postgresql://host/palm",
        "postgresql://ada:a%40s3c@db.example.org:5433/palm",
        "postgresql://ada@[::1]:5433/palm_2",
    ],
)
def test_a_gallery_is_a_file_or_a_database(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PALM_GALLERY_URL", url)
    assert read_settings().gallery_url == url


def test_a_url_is_told_without_its_password() -> None:
    assert without_password("postgresql://ada:s3:c@host/db") == "postgresql://***@host/db"
    assert without_password("sqlite:///data/a@b.db") == "sqlite:///data/a@b.db"


@pytest.mark.parametrize("password", ["s3c", "a@s3c", "a/s3c", "s3c" * 99])
def test_a_wrong_url_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("PALM_GALLERY_URL", f"mysql://ada:{password}@host/db")
    with pytest.raises(ValueError, match="PALM_GALLERY_URL") as refused:
        read_settings()
    assert "s3c" not in str(refused.value)


def test_every_setting_is_described() -> None:
    assert [name for name, f in Settings.model_fields.items() if not f.description] == []


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    assigned = re.findall(r"^(PALM_\w+)=", ENV_EXAMPLE.read_text(), re.MULTILINE)
    assert sorted(assigned) == sorted(variable(name) for name in Settings.model_fields)
