"""Everything an operator can set, read from the environment once."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.nets.manifest import NET_REQUEST


def _split(value: object) -> object:
    """Turns "a, b" into ["a", "b"]; anything but text is left to pydantic."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")]
    return value


ENV_PREFIX = "PALM_"


def variable(field: str | int) -> str:
    """The environment variable that sets a field."""
    return f"{ENV_PREFIX}{field}".upper()


NetName = Annotated[str, Field(pattern=f"^{NET_REQUEST}$")]


class Settings(BaseSettings):
    """The service's configuration: each field is the variable `PALM_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="forbid")

    models_dir: Path = Field(
        default=Path("models_store"),
        description="Folder of the nets, <net>/<version>/ in TensorFlow Serving's layout.",
    )
    nets: Annotated[tuple[NetName, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=("alexnet", "vgg16", "vgg19"),
        min_length=1,
        description="The nets that vote, separated by commas; vgg16:3 pins version 3, "
        "vgg16 takes the highest.",
    )
    engine: Literal["openvino", "tensorflow"] = Field(
        default="openvino", description="The library that runs the nets."
    )
    gallery_url: str = Field(
        default="sqlite:///data/gallery.db",
        pattern=r"^sqlite:///.+$",
        description="Where subjects are kept; a SQLite file, created with its folder if missing. "
        "Three slashes start a relative path, four an absolute one.",
    )
    max_body_mb: int = Field(
        default=32, ge=1, description="Largest request accepted, in MiB; beyond it 413."
    )
    max_pixels: int = Field(
        default=25_000_000, ge=1, description="Largest image decoded, in pixels; beyond it 413."
    )
    fpir_target: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Identify: share of strangers that may be taken for somebody (1:N).",
    )
    fmr_target: float = Field(
        default=0.001,
        gt=0,
        lt=1,
        description="Verify: share of impostors that may be accepted (1:1).",
    )
    max_concurrent: int = Field(
        default=2,
        ge=1,
        le=32,  # plain `def` endpoints share Starlette's pool of 40 threads; the rest stay free
        description="Requests that run the nets at the same time; about one for each core.",
    )
    queue_timeout_s: float = Field(
        default=5.0,
        ge=0,
        description="How long a further request waits for its turn before it is answered 503.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="What the service logs, as JSON lines on standard error."
    )
