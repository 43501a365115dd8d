"""The service's settings, read once from the environment and from .env."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.palm.capture import CaptureMode
from app.setting_values import (
    Commas,
    GalleryUrl,
    HostName,
    NetName,
    Origin,
    OutageTime,
    Rate,
    Search,
)
from app.validation import complaint, suggest

ENV_PREFIX = "PALM_"
ENV_FILE = Path(".env")
"""Relative to the working directory; Docker Compose reads the same file."""


def variable(field: str | int) -> str:
    """Returns the environment variable that sets a field."""
    return f"{ENV_PREFIX}{field}".upper()


def without_password(url: str) -> str:
    """Returns the URL with the user and password of its host replaced by ***."""
    # Up to the last @, because a password that is not encoded may hold / and @. A path without a
    # host, as in sqlite:///, starts with a slash.
    return re.sub(r"://[^/].*@", "://***@", url, flags=re.DOTALL)


class Settings(BaseSettings):
    """The service's configuration; the variable `PALM_<FIELD>` sets each field."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        frozen=True,
        extra="forbid",
        dotenv_filtering="match_prefix",  # .env also holds variables of Docker Compose
    )

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on; 0.0.0.0 is every IPv4 address of this machine.",
    )
    port: int = Field(default=8000, ge=1, le=65535, description="TCP port to listen on.")
    root_path: str = Field(
        default="",
        pattern=r"^(/[A-Za-z0-9._~-]+)*$",
        description="Path under which a reverse proxy publishes the service, such as /palm; "
        "empty if there is none.",
    )
    allowed_hosts: Annotated[tuple[HostName, ...], NoDecode, Commas] = Field(
        default=(),
        description="Host names under which the service is called, separated by commas, without "
        "ports; its addresses and localhost need not be listed. Other names get 421.",
    )
    allowed_origins: Annotated[tuple[Origin, ...], NoDecode, Commas] = Field(
        default=(),
        description="Origins of other sites whose pages may use the service, separated by commas, "
        "such as https://console.example.org; changes that other pages ask for get 403.",
    )
    master_key: Annotated[SecretStr | None, BeforeValidator(lambda key: key or None)] = Field(
        default=None,
        description="The master key, 64 hexadecimal digits; empty takes PALM_MASTER_KEY_FILE.",
    )
    master_key_file: Path = Field(
        default=Path("data/master.key"),
        description="File with the master key, created if missing. Without it nobody can read the "
        "gallery: keep a copy, apart from the gallery's.",
    )
    audit_file: Annotated[Path | None, BeforeValidator(lambda file: file or None)] = Field(
        default=Path("data/audit.jsonl"),
        description="The audit log, created with its folder if missing; a file beside it, .head, "
        "marks its end. While it cannot be written, requests get 503. Empty switches it off.",
    )
    rate_limit: Rate = Field(
        default="6000/minute",
        description="How many requests each API key, and each address without a key that works, "
        "may send to each process, such as 100/second; more get 429. Empty is any number.",
    )
    models_dir: Path = Field(
        default=Path("models_store"),
        description="Folder of the nets, <net>/<version>/ in TensorFlow Serving's layout.",
    )
    nets: Annotated[tuple[NetName, ...], NoDecode, Commas] = Field(
        default=("alexnet", "vgg16", "vgg19"),
        min_length=1,
        description="The nets that vote, separated by commas; vgg16:3 pins version 3. Without "
        "a version, several nets take those that were fused last, a single net its highest.",
    )
    engine: Literal["openvino", "tensorflow"] = Field(
        default="openvino", description="The library that runs the nets."
    )
    precision: Literal["auto", "f32", "bf16", "int8"] = Field(
        default="auto",
        description="In which precision OpenVINO computes the nets: f32, bf16 or int8. auto takes "
        "the fastest on this processor of those whose decisions were proven equal, and keeps what "
        "it measured beside the gallery, in precision.json.",
    )
    gallery_url: GalleryUrl = Field(
        default="sqlite:///data/gallery.db",
        description="The gallery's database: a SQLite file, created with its folder if missing, "
        "or postgresql://user:password@host/database. After sqlite:, three slashes start a "
        "relative path, four an absolute one.",
    )
    search: Search = Field(
        default="memory",
        description="Where an identification finds its candidates: memory keeps all templates in "
        "each process; pgvector asks the gallery's database, which must be PostgreSQL with the "
        "extension pgvector.",
    )
    outage_s: OutageTime = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="How long identification and verification go on with what was last read while "
        "the gallery's database cannot be reached, in seconds. In this time, erasures and "
        "revocations by other processes may go unseen. With 0, requests get 503. "
        "PALM_SEARCH=pgvector needs 0.",
    )
    trained: bool = Field(
        default=True,
        description="Whether the identities that the nets were trained on are subjects; those with "
        "a name, a hand or templates of their own stay.",
    )
    max_body_mb: int = Field(
        default=32, ge=1, description="Largest request accepted, in MiB; a larger one gets 413."
    )
    body_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="Longest time in which a request's body must arrive, in seconds; a slower one "
        "gets 408.",
    )
    client_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Longest time in which a client must send the head of a request, or take what "
        "the service sends, in seconds; then the connection is closed.",
    )
    max_connections: int = Field(
        default=256,
        ge=1,
        description="Connections at the same time; a further one takes the place of the one whose "
        "request has been incomplete for longest.",
    )
    stop_timeout_s: int = Field(
        default=15,
        ge=1,
        description="How long requests may take to finish when the service is told to stop, in "
        "seconds.",
    )
    max_image_mb: int = Field(
        default=8, ge=1, description="Largest image accepted, in MiB; a larger one gets 413."
    )
    max_pixels: int = Field(
        default=8_000_000,
        ge=1,
        description="Largest PNG, BMP, TIFF or WebP decoded, in pixels; a larger one gets 413.",
    )
    max_jpeg_pixels: int = Field(
        default=25_000_000,
        ge=1,
        description="Largest JPEG decoded, in pixels; a larger one gets 413. Above 8 million, "
        "it is decoded at reduced size.",
    )
    capture: CaptureMode = Field(
        default="auto",
        description="What an image is taken for if the request does not say: a photograph of a "
        "whole hand (hand), a square crop of a palm (roi), or either, decided by the image (auto).",
    )
    quality_enroll: int = Field(
        default=50,
        ge=0,
        le=100,
        description="Lowest quality accepted for enrollment, 0 to 100; an image below it gets 422.",
    )
    quality_probe: int = Field(
        default=25,
        ge=0,
        le=100,
        description="Lowest quality accepted to identify or verify, 0 to 100; an image below it "
        "gets 422.",
    )
    fpir_target: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Identify (1:N): share of strangers that may be matched with a subject.",
    )
    fmr_target: float = Field(
        default=0.001,
        gt=0,
        lt=1,
        description="Verify (1:1): share of impostors that may be accepted.",
    )
    max_concurrent: int = Field(
        default=2,
        ge=1,
        le=32,  # plain `def` endpoints share Starlette's pool of 40 threads; the rest stay free
        description="Requests that run the nets at the same time; about one for each core.",
    )
    queue_length: int = Field(
        default=64,
        ge=0,
        le=1000,
        description="Further requests that wait for their turn; more get 503 at once. About as "
        "many as PALM_MAX_CONCURRENT keep waits short; more spare bursts of requests a refusal.",
    )
    queue_timeout_s: float = Field(
        default=5.0,
        ge=0,
        description="Longest wait for a turn, in seconds; a request that would wait longer gets "
        "503 at once.",
    )
    explain: bool = Field(
        default=False,
        description="Whether identify?explain=true may draw which veins agree with the match.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO",
        description="Least severe level that is logged, as JSON lines on standard error.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Puts a source that keeps unknown variables in the environment's place."""
        return init_settings, _WholeEnvironment(settings_cls), dotenv_settings


class _WholeEnvironment(EnvSettingsSource):
    """All PALM_* variables of the environment, so that the model refuses the unknown ones."""

    def __call__(self) -> dict[str, Any]:
        """Returns the variables' values by field; an unknown one by its name without prefix."""
        prefix = ENV_PREFIX.lower()
        given = {
            name.removeprefix(prefix): value
            for name, value in self.env_vars.items()
            if name.startswith(prefix)
        }
        return {**given, **super().__call__()}


def read_settings() -> Settings:
    """Reads the settings from the environment and from .env; the environment has priority.

    Raises:
        ValueError: if a value is wrong or a variable unknown; the message is one line that names
            every such variable.
    """
    try:
        return Settings(_env_file=ENV_FILE)  # pyright: ignore[reportCallIssue]
    except ValidationError as error:
        wrong = "; ".join(_describe(item) for item in error.errors())
        raise ValueError(f"{wrong} (.env.example lists every setting)") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{ENV_FILE.absolute()} cannot be read: {error}") from error


def _describe(item: Any) -> str:
    name = variable(item["loc"][0])
    if item["type"] == "extra_forbidden":  # the value may be a secret: it is not repeated
        return f"{name} is not a setting; {suggest(name, map(variable, Settings.model_fields))}"
    if isinstance(item["input"], str):  # before it is cut short, which may remove the @
        item = {**item, "input": without_password(item["input"])}
    return f"{name}: {complaint(item)}"
