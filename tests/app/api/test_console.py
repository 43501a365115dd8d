"""The console's files: what is served, with which headers, and that they belong together."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.api.console import FOLDER, read_files
from tests.app.api.conftest import assert_problem

PAGE = "/"
STYLE = "/console/style.css"
SERVED = {".html", ".css", ".js", ".mjs", ".svg"}
VENDOR = FOLDER / "vendor"
IMPORT = re.compile(r'from ?"([^"\s]+)"')


def modules() -> list[Path]:
    return [path for path in FOLDER.rglob("*.*js") if path.suffix in {".js", ".mjs"}]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (PAGE, "text/html; charset=utf-8"),
        (STYLE, "text/css; charset=utf-8"),
        ("/console/main.js", "text/javascript; charset=utf-8"),
        ("/console/vendor/preact.mjs", "text/javascript; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ],
)
def test_the_page_s_files_need_no_key_and_run_nothing_else(
    shared_client: TestClient, path: str, kind: str
) -> None:
    answer = shared_client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "camera=(self)" in answer.headers["permissions-policy"]
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    head = shared_client.head(path)
    assert head.content == b""
    assert head.headers["etag"] == answer.headers["etag"]
    assert head.headers["content-length"] == str(len(answer.content))


def test_an_upgrade_is_seen_at_once(shared_client: TestClient) -> None:
    answer = shared_client.get(STYLE)
    assert answer.headers["cache-control"] == "no-cache"
    etag = answer.headers["etag"]
    for known in (etag, f'W/{etag}, "other"'):
        same = shared_client.get(STYLE, headers={"If-None-Match": known})
        assert same.status_code == 304
        assert same.headers["etag"] == etag
    newer = shared_client.get(STYLE, headers={"If-None-Match": '"a former release"'})
    assert newer.content == answer.content


@pytest.mark.parametrize("path", ["nothing.js", "../main.py", "%2e%2e/main.py", "vendor/update.sh"])
def test_nothing_else_is_served(shared_client: TestClient, path: str) -> None:
    assert_problem(shared_client.get(f"/console/{path}"), 404)


def test_every_file_of_the_page_is_served(shared_client: TestClient) -> None:
    files = [path for path in FOLDER.rglob("*") if path.suffix in SERVED]
    assert len(files) > 20
    for path in files:
        answer = shared_client.get(f"/console/{path.relative_to(FOLDER).as_posix()}")
        assert answer.content == path.read_bytes()


def test_every_module_that_is_imported_exists() -> None:
    used = {FOLDER / "main.js"}
    for path in modules():
        for name in IMPORT.findall(path.read_text()):
            assert name.startswith("."), f"{path.name}: a browser finds no module {name!r}"
            used.add((path.parent / name).resolve())
    assert len(used) > 20
    assert used <= {path.resolve() for path in modules()}


def test_the_page_names_nothing_that_is_not_served() -> None:
    page = (FOLDER / "index.html").read_text()
    named = re.findall(r'(?:src|href)="console/([^"]+)"', page)
    assert {f"console/{path}" for path in named} <= {f"console/{path}" for path in read_files()}
    styles = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.css")}
    assert styles <= set(named)
    assert "<style" not in page
    assert not re.search(r"<script(?![^>]*src=)", page)


def test_the_libraries_are_those_of_the_lock() -> None:
    sums = dict(
        reversed(line.split("  ")) for line in (VENDOR / "SHA256SUMS").read_text().splitlines()
    )
    assert {path.name for path in VENDOR.glob("*.mjs")} < sums.keys()
    for name, digest in sums.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
    wanted = json.loads((VENDOR / "package.json").read_text())["dependencies"]
    locked = json.loads((VENDOR / "package-lock.json").read_text())["packages"]
    assert {f"node_modules/{name}" for name in wanted} == locked.keys() - {""}
    licences = (VENDOR / "LICENSES").read_text()
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
        assert f"{name} {version}\n" in licences
