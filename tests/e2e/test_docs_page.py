"""The page /docs in a real browser: it works without internet, and asks for a key."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import KNOWN, Start

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def open_form(page: Any, route: str) -> Any:
    """Opens the form of a route that takes images."""
    form = page.locator(f"#operations-palms-{route}_v1_{route}_post")
    form.locator(".opblock-summary-control").click()
    form.get_by_role("button", name="Try it out").click()
    form.locator("input[type=file]").wait_for()
    return form


def try_out(page: Any, image: Path) -> str:
    """Sends an image by the page's form of POST /v1/identify; returns the answer's status."""
    form = open_form(page, "identify")
    form.locator("input[type=file]").set_input_files(image)
    with page.expect_response("**/v1/identify*") as answer:
        form.get_by_role("button", name="Execute").click()
    status = form.locator(".live-responses-table .response .response-col_status")
    playwright.expect(status).to_contain_text(str(answer.value.status))
    return status.inner_text().split()[0]


def authorize(page: Any, key: str) -> None:
    page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".modal-ux")
    dialog.get_by_role("textbox").fill(key)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close").click()


def test_the_page_works_offline_and_sends_the_key(start: Start, page: Any) -> None:
    errors: list[str] = []
    hosts: set[str] = set()
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda sent: hosts.add(sent.url.split("/")[2]) if "//" in sent.url else None)
    (image, *_) = sorted(KNOWN.rglob("*.png"))
    with start() as http:
        key = http.post("/v1/keys", json={"name": "door", "scopes": ["identify"]}).json()["api_key"]
        page.goto(str(http.base_url.join("/docs")))
        authorize(page, key)
        assert try_out(page, image) == "200"
        for route in ("enroll", "verify", "inspect"):
            open_form(page, route)
        assert errors == []
        assert hosts == {f"127.0.0.1:{http.base_url.port}"}
        page.reload()  # forgets the key
        assert try_out(page, image) == "401"
