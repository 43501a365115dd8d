"""Measures how large the console is, and how soon it can be used, in a real Chromium.

    python -m benchmarks.console [--opened 20] [--json PATH]
    python -m benchmarks.console --picture docs/figures/console.png

The page is opened on the service's own machine, where no key is needed: first by a browser that
knows nothing of it, then once more, when the browser has all files and only asks whether they are
the newest. The time runs from the start of the navigation to the page's own mark `console-ready`,
when its first page is shown. /docs (Swagger UI, which ships with the service) is opened by the same
browser in the same run, for comparison; its time ends when its first operation appears.

With --picture nothing is measured: a sample hand is identified, and the page is stored as a PNG.

Needs the dev group, and Chromium: CHROMIUM names it, if it is not on the path.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.machine import as_sentence, describe_machine
from benchmarks.server import REPOSITORY, serve

TARGET_BYTES, TARGET_MS = 300_000, 1000
SAMPLE = REPOSITORY / "samples" / "hands" / "known" / "p100.jpg"
COLOURS = 128

SIZES = """["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind)
    .filter(({name}) => !name.includes("/v1/")).map(({decodedBodySize}) => decodedBodySize))"""
CONSOLE_READY = """new Promise((done) => {
    const look = () => {
        const [mark] = performance.getEntriesByName("console-ready");
        mark ? done(mark.startTime) : setTimeout(look, 5);
    };
    look();
})"""
DOCS_READY = """new Promise((done) => {
    const look = () => document.querySelector(".opblock") ? done(performance.now())
        : requestAnimationFrame(look);
    look();
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures the console's size and start.")
    parser.add_argument("--opened", type=int, default=20, help="how often each page is opened")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--picture", type=Path, help="where to store a picture of an answer")
    arguments = parser.parse_args()
    if arguments.picture:
        draw_picture(arguments.picture)
        return
    machine = describe_machine()
    report = {"machine": machine, "opened": arguments.opened, "pages": measure(arguments.opened)}
    print(as_markdown(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


@contextmanager
def console() -> Iterator[tuple[Browser, str]]:
    """Starts a service with an empty gallery and a browser; yields it and the service's address."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as tools:
        folder = Path(name)
        settings = {"PALM_GALLERY_URL": f"sqlite:///{folder / 'gallery.db'}"}
        browser = tools.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with serve(settings, folder / "log", until="/health/ready") as http:
            yield browser, str(http.base_url).rstrip("/")
        browser.close()


def draw_picture(path: Path) -> None:
    """Stores the page Identify with a sample hand and its answer, as a PNG of few colours."""
    with console() as (browser, address):
        page = browser.new_page(viewport={"width": 1120, "height": 700}, color_scheme="light")
        page.goto(address)
        page.locator("input[type=file]").first.set_input_files(SAMPLE)
        page.locator(".verdict").wait_for()
        page.locator(".picture .overlay").wait_for()
        seen = page.screenshot()
    with Image.open(io.BytesIO(seen)) as image:
        image.convert("RGB").quantize(COLOURS).save(path, "PNG", optimize=True)


def measure(times: int) -> dict[str, dict[str, Any]]:
    """Opens both pages this many times, in turn."""
    with console() as (browser, address):
        runs = [
            {
                "console": open_page(browser, f"{address}/", CONSOLE_READY),
                "/docs": open_page(browser, f"{address}/docs", DOCS_READY),
            }
            for _ in range(times + 1)
        ][1:]  # the service reads its files at the first request
    return {page: summarize([run[page] for run in runs]) for page in runs[0]}


def open_page(browser: Browser, address: str, ready: str) -> dict[str, Any]:
    """Opens a page twice in a new context; returns its files' sizes in bytes, and times in ms."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    first_ms = page.evaluate(ready)
    sizes = _sizes(page)
    page.reload()
    again_ms = page.evaluate(ready)
    context.close()
    return {"sizes": sizes, "first_ms": first_ms, "again_ms": again_ms}


def _sizes(page: Page) -> list[int]:
    return page.evaluate(SIZES)


def summarize(opened: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns bytes and number of files, and the median and worst time in ms."""
    times = {name: sorted(one[f"{name}_ms"] for one in opened) for name in ("first", "again")}
    return {
        "bytes": sum(opened[0]["sizes"]),
        "requests": len(opened[0]["sizes"]),
        **{f"{name}_p50_ms": statistics.median(all_ms) for name, all_ms in times.items()},
        **{f"{name}_worst_ms": all_ms[-1] for name, all_ms in times.items()},
    }


def as_markdown(report: dict[str, Any]) -> str:
    """Returns the report as a table."""
    lines = [
        f"{as_sentence(report['machine'])}; each page opened {report['opened']} times, twice each",
        "",
        "| page | files | bytes | ready, first time: p50, worst | again: p50, worst |",
        "|---|---|---|---|---|",
    ]
    for page, told in report["pages"].items():
        first = f"{told['first_p50_ms']:.0f}, {told['first_worst_ms']:.0f} ms"
        again = f"{told['again_p50_ms']:.0f}, {told['again_worst_ms']:.0f} ms"
        lines.append(f"| {page} | {told['requests']} | {told['bytes']:,} | {first} | {again} |")
    mine = report["pages"]["console"]
    met = mine["bytes"] <= TARGET_BYTES and mine["first_worst_ms"] <= TARGET_MS
    lines += ["", f"Target: {TARGET_BYTES:,} bytes, {TARGET_MS} ms: {'met' if met else 'missed'}."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
