"""The console's page Operate in a real browser: what it shows is what the service counts."""

import re
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.browser import PHONE, OpenConsole, fits_its_width, make_key, serious_findings
from tests.e2e.conftest import KNOWN, STRANGERS, Start

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


def identify_some(http: httpx.Client) -> None:
    """Identifies a known palm and a stranger."""
    for folder in (KNOWN, STRANGERS):
        image = sorted(folder.rglob("*.png"))[-1]
        form = {"images": (image.name, image.read_bytes(), "image/png")}
        http.post("/v1/identify", files=form).raise_for_status()


def sign(http: httpx.Client) -> str:
    """Creates the first key and lets `http` send it."""
    key = make_key(http, "admin", "metrics", "identify")
    http.headers["Authorization"] = f"Bearer {key}"
    return key


def decisions(http: httpx.Client) -> dict[str, int]:
    """Returns the number of decisions of each kind, by Prometheus' own parser."""
    found: dict[str, int] = {}
    for family in text_string_to_metric_families(http.get("/metrics").text):
        for one in family.samples:
            if one.name == "palm_decisions_total":
                decision = one.labels["decision"]
                found[decision] = found.get(decision, 0) + int(one.value)
    return found


def recorded_matches(http: httpx.Client, up_to: str) -> int:
    """Returns the number of matches whose recorded margin is at most `up_to`."""
    return sum(
        int(one.value)
        for family in text_string_to_metric_families(http.get("/metrics").text)
        for one in family.samples
        if one.name == "palm_score_margin_bucket"
        and one.labels == {"decision": "match", "le": up_to}
    )


def check_numbers(http: httpx.Client, page: Any) -> None:
    expect = playwright.expect
    for decision, count in decisions(http).items():
        expect(page.locator(f"[data-decision={decision}]")).to_have_text(str(count))
    slider = page.get_by_label("Change of the threshold")
    slider.focus()
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("3")
    told = page.locator("[data-effect]").inner_text()
    assert int(re.findall(r"\d+", told.split(" of ")[0])[-1]) == recorded_matches(http, "3.0")
    with page.expect_response("**/metrics"):  # it refreshes by itself, and keeps the focus
        pass
    expect(slider).to_be_focused()
    expect(page.get_by_text("PALM_FPIR_TARGET")).to_be_visible()


def test_numbers_keys_and_audit(start: Start, console_page: OpenConsole) -> None:
    with start() as http:
        key = sign(http)
        identify_some(http)
        page = console_page(http, "#/operate", key)
        check_numbers(http, page)
        made = create_key(page)
        bearer = {"Authorization": f"Bearer {made}"}
        assert http.get("/v1/caller", headers=bearer).json()["scopes"] == ["read"]
        page.get_by_role("button", name=re.compile("Revoke gate")).click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        playwright.expect(page.get_by_text("ended", exact=True)).to_be_visible()
        assert http.get("/v1/caller", headers=bearer).status_code == 401
        check_audit(http, page)


def create_key(page: Any) -> str:
    page.get_by_role("button", name="New key").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Create key").click()
    playwright.expect(dialog.locator(".field-error").first).to_be_visible()
    dialog.get_by_label("Name", exact=True).fill("gate")
    dialog.get_by_label("read: ").check()
    dialog.get_by_role("button", name="Create key").click()
    key = page.locator(".operate-key").inner_text()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    return key


def check_audit(http: httpx.Client, page: Any) -> None:
    for _ in range(45):  # with the lines before, two pages
        http.get("/v1/caller").raise_for_status()
    page.get_by_role("button", name="Show", exact=True).click()
    rows = page.locator(".operate-log tbody tr")
    playwright.expect(rows).to_have_count(50)
    page.get_by_role("button", name="Show older lines").click()
    rows.nth(50).wait_for()
    numbers = [int(text) for text in page.locator(".operate-log td:first-child").all_inner_texts()]
    assert numbers == list(range(numbers[0], numbers[-1] - 1, -1))
    page.get_by_label("Outcome", exact=True).select_option("refused")
    page.get_by_role("button", name="Show newest").click()
    playwright.expect(page.locator(".operate-log")).to_contain_text("422")
    playwright.expect(page.locator(".operate-log")).not_to_contain_text("200")


def test_a_key_without_admin_sees_neither_keys_nor_audit(
    start: Start, console_page: OpenConsole
) -> None:
    with start() as http:
        sign(http)
        page = console_page(http, "#/operate", make_key(http, "metrics"))
        page.get_by_role("heading", name="What runs").wait_for()
        assert page.get_by_role("heading", name="API keys").count() == 0
        assert page.get_by_role("heading", name="Audit log").count() == 0


MARGINS = "".join(
    f'palm_score_margin_bucket{{decision="{decision}",le="{le}"}} {count}\n'
    for decision, counts in {
        "match": {"-0.5": 0, "0.0": 1, "0.5": 3, "1.0": 6, "+Inf": 10},
        "no_match": {"-1.0": 4, "-0.5": 6, "0.0": 9, "+Inf": 9},
    }.items()
    for le, count in counts.items()
)


def test_another_threshold_s_effect_is_told_as_far_as_it_is_recorded(
    start: Start, console_page: OpenConsole
) -> None:
    with start("/health/live") as http:
        page = console_page(http)
        effect = """async ([text, by]) => {
            const { changed, parse } = await import("/console/pages/operate-metrics.js");
            const { fewest, most, of } = changed(parse(text), by);
            return [fewest, most, of];
        }"""
        for by, told in {0: [0, 0, 10], 1: [3, 6, 10], 0.5: [1, 3, 10], -0.5: [3, 5, 9]}.items():
            assert page.evaluate(effect, [MARGINS, by]) == told


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(
    start: Start, console_page: OpenConsole, scheme: str
) -> None:
    with start() as http:
        key = sign(http)
        identify_some(http)
        page = console_page(http, "#/operate", key, viewport=PHONE, color_scheme=scheme)
        page.get_by_role("button", name="Show", exact=True).click()
        page.locator(".operate-log").wait_for()
        page.get_by_text("PALM_FPIR_TARGET").wait_for()
        assert fits_its_width(page)
        assert serious_findings(page) == []
