"""Values of settings that are more than a text or a number, and how they are written."""

import re
from typing import Annotated, Literal

import limits
from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from app.nets.manifest import NET_REQUEST


def _split(value: object) -> object:
    """Turns "a, b" into ["a", "b"]; leaves anything but text to pydantic."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",")] if value.strip() else []
    return value


def _check_net(name: str) -> str:
    if not re.fullmatch(NET_REQUEST, name):
        raise ValueError("a net is written like vgg16, or like vgg16:3 for version 3")
    return name


def _check_gallery_url(url: str) -> str:
    # SQLAlchemy would take what follows a question mark as options, :memory: as a database for each
    # thread, and file: as a URI.
    user, host = r"([^/?#@\s]+@)?", r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:\d+)?"
    sqlite, postgresql = (
        r"sqlite:///(?!:memory:|file:)[^?\0]+",
        rf"postgresql://{user}{host}/[\w-]+",
    )
    if not re.fullmatch(f"{sqlite}|{postgresql}", url):
        raise ValueError(
            "must be the URL, without options, of a SQLite file such as sqlite:///data/gallery.db "
            "or of a database such as postgresql://user:password@host/palm, in whose password "
            "/ ? # @ and % are written as %2F %3F %23 %40 %25"
        )
    return url


def _check_host(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise ValueError("a host is a name without scheme and port, such as palm.example.org")
    return name.lower().rstrip(".")


def _check_origin(origin: str) -> str:
    if not re.fullmatch(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:\d+)?", origin):
        raise ValueError("an origin is written like https://console.example.org, without a path")
    # A browser leaves out the usual port.
    usual = {"http": ":80", "https": ":443"}[origin.partition(":")[0]]
    return origin.lower().removesuffix(usual)


def _check_rate(rate: str) -> str:
    if rate:
        try:
            least = limits.parse(rate).amount
        except ValueError:
            least = 0
        if least < 1:
            raise ValueError("a rate is written like 100/second or 6000/minute, 1 or more")
    return rate


def _check_search(search: str, info: ValidationInfo) -> str:
    if search == "pgvector" and info.data.get("gallery_url", "").startswith("sqlite:"):
        raise ValueError(
            "pgvector needs a gallery in PostgreSQL: set PALM_GALLERY_URL to one, or set "
            "PALM_SEARCH=memory"
        )
    return search


def _check_outage(allowed_s: float, info: ValidationInfo) -> float:
    if allowed_s > 0 and info.data.get("search") == "pgvector":
        raise ValueError(
            "without the gallery's database, PALM_SEARCH=pgvector finds nobody: set "
            "PALM_OUTAGE_S=0, or set PALM_SEARCH=memory"
        )
    return allowed_s


NetName = Annotated[str, AfterValidator(_check_net)]
HostName = Annotated[str, AfterValidator(_check_host)]
Origin = Annotated[str, AfterValidator(_check_origin)]
GalleryUrl = Annotated[str, AfterValidator(_check_gallery_url)]
Rate = Annotated[str, AfterValidator(_check_rate)]
OutageTime = Annotated[float, AfterValidator(_check_outage)]
Search = Annotated[Literal["memory", "pgvector"], AfterValidator(_check_search)]
Commas = BeforeValidator(_split)
"""Takes a list that is written as a text with commas."""
