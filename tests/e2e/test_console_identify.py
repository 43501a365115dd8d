"""The console's shell and its page Identify, in a real browser with the shipped nets."""

import csv
import re
from base64 import b64encode
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.console import FOLDER
from tests.e2e.browser import PHONE, OpenConsole, fits_its_width, make_key, serious_findings
from tests.e2e.conftest import KNOWN, STRANGERS, Start

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect: Any = playwright.expect

HAND = KNOWN.parent / "hands" / "known" / "p014.jpg"
MAX_BYTES = 300_000

GIVE = """([name, type, content]) => {
    const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, {type}));
    const init = {bubbles: true, cancelable: true};
    const given = HOW === "paste"
        ? new ClipboardEvent("paste", {...init, clipboardData: transfer})
        : new DragEvent("drop", {...init, dataTransfer: transfer});
    document.querySelector(".drop").dispatchEvent(given);
}"""


def choose(page: Any, *files: Path, button: str = "Choose images") -> None:
    page.get_by_label(button).set_input_files(list(files))


def give(page: Any, how: str, name: str, kind: str, content: bytes) -> None:
    """Pastes a file, or drops it."""
    page.evaluate(GIVE.replace("HOW", repr(how)), [name, kind, b64encode(content).decode()])


def answer_of(page: Any) -> Any:
    return page.get_by_role("region", name="Answer")


def heading(page: Any) -> Any:
    return answer_of(page).get_by_role("heading", level=2).first


@pytest.fixture
def opened(service: httpx.Client, console_page: OpenConsole) -> Any:
    return console_page(service)


def test_a_chosen_image_is_answered_in_words_and_in_full(opened: Any) -> None:
    choose(opened, HAND)
    expect(heading(opened)).to_have_text("This is p014")
    answer = answer_of(opened)
    expect(answer).to_contain_text("99.99 % sure, among 160 palms.")
    expect(answer.get_by_role("table", name="Most similar").get_by_role("row")).to_have_count(6)
    votes = answer.get_by_role("table", name="What each net says")
    expect(votes.get_by_role("row")).to_have_count(4)
    expect(answer).to_contain_text("of 100")
    answer.get_by_text("Durations").click()
    expect(answer).to_contain_text("Compute the vein maps")
    expect(opened.locator(".picture polygon.halo")).to_be_attached()
    expect(opened.locator(".picture .gap")).to_have_count(3)
    expect(opened.get_by_text("Ordinary phone and web cameras")).to_have_count(0)
    answer.get_by_role("button", name="Another palm").click()
    expect(opened.get_by_text("Ordinary phone and web cameras do not show veins")).to_be_visible()


def test_a_stranger_is_nobody(opened: Any) -> None:
    choose(opened, *sorted((STRANGERS / "n001").glob("*.png"))[:2])
    expect(heading(opened)).to_have_text("Nobody we know")
    opened.get_by_role("button", name="Image 2").click()
    expect(opened.locator("figcaption").first).to_contain_text(".png")


@pytest.mark.parametrize("how", ["paste", "drop"])
def test_an_image_can_be_pasted_and_dropped(opened: Any, how: str) -> None:
    give(opened, how, "hand.jpg", "image/jpeg", HAND.read_bytes())
    expect(heading(opened)).to_have_text("This is p014")


def test_the_keyboard_suffices(opened: Any) -> None:
    # The browser is asked to hand over its choosers before the first one may open.
    opened.on("filechooser", lambda _: None)
    for _ in range(12):
        opened.keyboard.press("Tab")
        if opened.evaluate("document.activeElement.type") == "file":
            break
    with opened.expect_file_chooser() as chooser:
        opened.keyboard.press("Enter")
    chooser.value.set_files(HAND)
    expect(heading(opened)).to_have_text("This is p014")
    for _ in range(12):
        opened.keyboard.press("Tab")
        if opened.evaluate("document.activeElement.textContent") == "Another palm":
            break
    opened.keyboard.press("Enter")
    expect(heading(opened)).to_have_text("No palm yet")


def test_a_wrong_file_gets_the_service_s_own_sentence(opened: Any, service: httpx.Client) -> None:
    wrong = b"%PDF-1.7 no image"
    give(opened, "drop", "letter.pdf", "application/pdf", wrong)
    told = service.post("/v1/identify", files={"images": ("letter.pdf", wrong)}).json()
    alert = answer_of(opened).get_by_role("alert")
    expect(alert).to_contain_text(told["title"])
    expect(alert).to_contain_text(told["detail"])


def test_an_option_reaches_the_service(opened: Any) -> None:
    choose(opened, HAND)
    expect(heading(opened)).to_have_text("This is p014")
    opened.get_by_text("Options").click()
    opened.get_by_label("Name of the camera").fill("Not A Name")
    opened.get_by_role("button", name="Identify again").click()
    expect(answer_of(opened).get_by_role("alert")).to_contain_text("camera")


def test_a_folder_becomes_a_table_and_a_csv_file(opened: Any, tmp_path: Path) -> None:
    folder = tmp_path / "palms"
    for palm in ("p001", "p002"):
        (folder / palm).mkdir(parents=True)
        (folder / palm / "01.png").write_bytes((KNOWN / palm / "01.png").read_bytes())
    (folder / "=broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image either")
    opened.get_by_label("A folder").check()
    opened.get_by_label("Choose a folder").set_input_files(folder)
    expect(opened.get_by_role("status").filter(has_text="palms")).to_have_text(
        "3 of 3 palms 1 other file left out"
    )
    row = opened.get_by_role("row").filter(has_text="p002/01.png")
    expect(row).to_contain_text("Known")
    with opened.expect_download() as download:
        opened.get_by_role("link", name="Download as CSV").click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    rows = {row["file"]: row for row in csv.DictReader(StringIO(text))}
    assert rows["palms/p001/01.png"]["subject_id"] == "p001"
    assert rows["palms/=broken.png"]["outcome"] == "problem"
    assert "not a readable image" in rows["palms/=broken.png"]["problem"]
    opened.get_by_label("Refused").check()
    expect(opened.locator("tbody").get_by_role("row")).to_have_count(1)


def test_many_images_are_sent_in_parts_and_names_become_no_formulas(opened: Any) -> None:
    script = """async () => {
        const {partsOf, COLUMNS} = await import("./console/pages/identify-batches.js");
        const {asTable} = await import("./console/parts/csv.js");
        const rows = (count, size) => Array.from({length: count}, (_, index) =>
            ({index, file: {name: "a.png", size}}));
        const lengths = (...given) => partsOf(rows(...given)).map((part) => part.length);
        const named = {index: 0, file: {name: '=1+1,"x".png'}};
        return [lengths(600, 1), lengths(3, 20 * 2 ** 20), asTable([named], COLUMNS)];
    }"""
    many, large, text = opened.evaluate(script)
    assert many == [256, 256, 88]
    assert large == [1, 1, 1]
    assert next(csv.DictReader(StringIO(text.lstrip("\ufeff"))))["file"] == '\'=1+1,"x".png'


def test_the_camera_guides_and_takes_a_photograph(opened: Any) -> None:
    opened.get_by_role("button", name="Use the camera").click()
    expect(opened.locator(".guidance")).to_have_text("Good. Hold still.")
    expect(opened.locator(".picture-live polygon.halo")).to_be_attached()
    assert serious_findings(opened) == []
    opened.get_by_role("button", name="Take the photograph").click()
    expect(heading(opened)).to_have_text("This is p014")


def test_the_camera_can_be_used_hands_free_palm_after_palm(opened: Any) -> None:
    opened.get_by_role("button", name="Use the camera").click()
    opened.get_by_label("Take it as soon as it is good").check()
    expect(heading(opened)).to_have_text("This is p014")
    opened.get_by_role("button", name="Another palm").click()
    expect(opened.locator(".guidance")).to_have_text("Good. Hold still.")
    opened.get_by_role("button", name="Close the camera").click()
    expect(opened.get_by_text("Choose images")).to_be_visible()


def test_without_a_secure_context_the_page_says_what_the_camera_needs(opened: Any) -> None:
    opened.evaluate("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
    opened.get_by_role("button", name="Use the camera").click()
    expect(opened.get_by_role("alert")).to_contain_text("only over HTTPS, or on localhost")


def test_the_page_is_small_and_says_when_it_can_be_used(
    service: httpx.Client, console_page: OpenConsole
) -> None:
    page = console_page(service)
    page.get_by_role("heading", name="Identify").wait_for()
    assert page.evaluate("performance.getEntriesByName('console-ready').length") == 1
    sizes = page.evaluate("""["navigation", "resource"].flatMap((kind) =>
        performance.getEntriesByType(kind).map(({decodedBodySize}) => decodedBodySize))""")
    assert len(sizes) > 20
    assert sum(sizes) <= MAX_BYTES


def texts_used() -> set[tuple[str, ...]]:
    """Returns the texts that modules use: of each set of paths, one must exist."""
    used: set[tuple[str, ...]] = set()
    for path in [*FOLDER.glob("*.js"), *FOLDER.glob("pages/*.js"), *FOLDER.glob("parts/*.js")]:
        module = path.read_text()
        used |= {(one,) for one in re.findall(r"\btexts\.(\w+(?:\.\w+)*)", module)}
        short = set(re.findall(r"const text = texts\.([\w.]+);", module))
        keys = re.findall(r"(?<![\w.])text\.(\w+(?:\.\w+)*)", module) if short else []
        used |= {tuple(f"{one}.{key}" for one in sorted(short)) for key in keys}
    return used - {("js",)}


def test_every_text_that_a_module_uses_exists(opened: Any) -> None:
    script = """async (used) => {
        const {texts} = await import("./console/texts.js");
        const at = (path) => path.split(".").reduce((found, key) => found?.[key], texts);
        return used.filter((paths) => paths.every((path) => at(path) === undefined));
    }"""
    used = sorted(texts_used())
    assert len(used) > 80
    assert opened.evaluate(script, used) == []


def test_a_service_that_does_not_work_says_so(service: httpx.Client, browser: Any) -> None:
    page = browser.new_page()
    page.route("**/v1/caller", lambda route: route.abort())
    page.goto(str(service.base_url))
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_is_accessible_and_fits_a_phone(
    service: httpx.Client, console_page: OpenConsole, scheme: str
) -> None:
    page = console_page(service, color_scheme=scheme, viewport=PHONE)
    assert serious_findings(page) == []
    choose(page, HAND)
    expect(heading(page)).to_have_text("This is p014")
    page.get_by_text("Options").click()
    assert serious_findings(page) == []
    assert fits_its_width(page)
    page.get_by_label("A folder").check()
    choose(page, *KNOWN.glob("p00[12]/01.png"))
    page.get_by_role("link", name="Download as CSV").wait_for()
    assert serious_findings(page) == []
    assert fits_its_width(page)


def test_a_key_opens_only_its_pages_until_it_is_revoked(
    start: Start, console_page: OpenConsole
) -> None:
    with start(PALM_EXPLAIN="true") as http:
        admin = make_key(http, "admin")
        http.headers["Authorization"] = f"Bearer {admin}"
        narrow = make_key(http, "identify", "explain", name="front door")
        page = console_page(http)
        page.get_by_label("API key").fill("palm_00000000_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("this API key is unknown or has expired")
        assert serious_findings(page) == []
        page.get_by_label("API key").fill(narrow)
        page.keyboard.press("Enter")
        expect(page.get_by_role("navigation").get_by_role("link")).to_have_text(["Identify"])
        expect(page.get_by_text("front door")).to_be_visible()
        assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
            0,
            0,
            "",
        ]
        choose(page, HAND)
        expect(heading(page)).to_have_text("This is p014")
        expect(page.get_by_role("img", name="The palm's vein map")).to_be_visible()
        expect(answer_of(page).get_by_role("link")).to_have_count(0)  # to people, needs `read`
        http.delete(f"/v1/keys/{narrow.split('_')[1]}").raise_for_status()
        page.get_by_role("button", name="Identify again").click()
        expect(page.get_by_role("alert")).to_contain_text("this API key is unknown or has expired")
        expect(page.get_by_label("API key")).to_be_focused()
        page.reload()
        expect(page.get_by_label("API key")).to_have_value("")
