"""The console: a page for people, and the files that it consists of. It needs no internet."""

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

FOLDER = Path(__file__).parents[1] / "console"
INDEX = "index.html"

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""What is served, by the ends of the files' names. Not the system's table: it may know others."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' blob: data:",  # photographs before they are sent, and drawings in answers
        "media-src 'self' blob:",
        "frame-ancestors 'none'",
        "form-action 'none'",  # scripts send all requests
        "base-uri 'none'",
    )
)
HEADERS = {
    "Cache-Control": "no-cache",  # the browser asks each time whether the ETag still holds
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
}


class File(NamedTuple):
    """A file of the console.

    Attributes:
        content: all its bytes.
        media_type: for the header Content-Type.
        etag: changes whenever the content does.
    """

    content: bytes
    media_type: str
    etag: str


@cache
def read_files() -> dict[str, File]:
    """Returns all files of the console, by their paths in its folder; reads them once."""
    return {
        str(path.relative_to(FOLDER)): _read(path)
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in MEDIA_TYPES
    }


def _read(path: Path) -> File:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return File(content, MEDIA_TYPES[path.suffix], etag)


router = APIRouter(include_in_schema=False)


@router.get("/")
def show_console(request: Request) -> Response:
    """Answers with the page."""
    return _answer(request, INDEX)


@router.get("/console/{path:path}")
def show_file(request: Request, path: str) -> Response:
    """Answers with a file that the page consists of."""
    return _answer(request, path)


def _answer(request: Request, path: str) -> Response:
    file = read_files().get(path)
    if file is None:
        raise HTTPException(404)
    headers = {**HEADERS, "ETag": file.etag}
    known = request.headers.get("if-none-match", "").replace("W/", "").split(",")
    if file.etag in {one.strip() for one in known}:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
