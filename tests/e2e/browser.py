"""A real Chromium for the tests of pages: the console and /docs."""

import os
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from benchmarks.server import REPOSITORY

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
OPTIONS = (
    "--no-sandbox",  # root cannot use it
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",  # the camera may be used without a question
)
SEEN_BY_CAMERA = REPOSITORY / "samples" / "hands" / "known" / "p014.jpg"
# Playwright's own wait_for_function would need unsafe-eval, which the page forbids.
READY = """new Promise((done) => {
    const look = () =>
        performance.getEntriesByName("console-ready").length ? done() : setTimeout(look, 5);
    look();
})"""
PHONE = {"width": 360, "height": 740}

OpenConsole = Callable[..., Any]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Starts one browser for a module, with a camera that sees the hand of p014.

    While it runs, no test can use asyncio.run.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one by CHROMIUM")
    film = tmp_path_factory.mktemp("camera") / "palm.mjpeg"
    film.write_bytes(film_of(SEEN_BY_CAMERA))
    options = [*OPTIONS, f"--use-file-for-fake-video-capture={film}"]
    with playwright.sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


def film_of(image: Path) -> bytes:
    """Returns a film of one frame (Motion JPEG), in the shape and colours of a web camera."""
    frame = Image.new("RGB", (640, 480))
    with Image.open(image) as seen:
        frame.paste(seen.convert("RGB").resize((360, 480)), (140, 0))
    film = BytesIO()
    frame.save(film, "JPEG", quality=92)
    return film.getvalue()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """Opens an empty page that remembers nothing of others."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def console_page(browser: Any) -> Iterator[OpenConsole]:
    """Returns a function that opens the console: `console_page(http, "#/people", key=...)`.

    Further arguments are those of Playwright's `new_context`: viewport, color_scheme. At the end of
    the test, no page may have sent a request to another host or written an error to its console.
    What the browser itself writes about an answer of 400 and higher is left out.
    """
    contexts: list[Any] = []
    errors: list[str] = []
    hosts: set[str] = set()
    own: set[str] = set()

    def open_page(
        http: httpx.Client, hash: str = "", key: str | None = None, **options: Any
    ) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: errors.append(said.text) if is_error(said) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda sent: hosts.add(urlsplit(sent.url.removeprefix("blob:")).netloc))
        own.update({"", f"{http.base_url.host}:{http.base_url.port}"})  # data: has no host
        page.goto(str(http.base_url.join(f"/{hash}")))
        page.evaluate(READY)
        if key is not None:
            page.get_by_label("API key").fill(key)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("navigation").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
    assert hosts <= own


def is_error(said: Any) -> bool:
    """Tells whether a message of the console is an error that the page must not make."""
    return said.type == "error" and "Failed to load resource" not in said.text


def make_key(http: httpx.Client, *scopes: str, **limits: Any) -> str:
    """Creates a key, with the header Authorization that `http` has, and returns it."""
    wanted = {"name": "test", "scopes": list(scopes), **limits}
    return http.post("/v1/keys", json=wanted).raise_for_status().json()["api_key"]


def serious_findings(page: Any) -> list[str]:
    """Returns what axe-core finds on a page, if it is serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


def fits_its_width(page: Any) -> bool:
    """Tells whether a page needs no horizontal scrolling."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")
