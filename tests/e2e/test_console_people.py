"""The console's pages Enroll and People, in a real browser with the shipped nets."""

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageFilter

from benchmarks.server import serve
from tests.e2e.browser import PHONE, OpenConsole, fits_its_width, make_key, serious_findings
from tests.e2e.conftest import KNOWN, STRANGERS, Start, shots_of

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect: Any = playwright.expect

SHOTS = shots_of(STRANGERS)
LONG_NAME = "אבגד " + "w" * 195


@pytest.fixture(scope="module")
def gallery_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Starts one service whose gallery these tests change; each has its own subjects."""
    folder = tmp_path_factory.mktemp("service")
    settings = {"PALM_GALLERY_URL": f"sqlite:///{folder / 'gallery.db'}"}
    with serve(settings, folder / "log", until="/health/ready") as http:
        yield http


def enroll(http: httpx.Client, subject_id: str, palm: str, **fields: str) -> None:
    files = [("images", path.read_bytes()) for path in SHOTS[palm][:2]]
    fields = {"subject_id": subject_id, "force": "true", **fields}
    http.post("/v1/enroll", data=fields, files=files).raise_for_status()


def choose(page: Any, *files: Path) -> None:
    page.get_by_label("Choose images").set_input_files(list(files))


def press_until(page: Any, reached: str) -> None:
    """Presses Tab until the expression holds for the element that has the focus, `it`."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(f"((it) => {reached})(document.activeElement)"):
            return
    pytest.fail(f"Tab does not lead to {reached}")


def download_of(page: Any, name: str) -> str:
    with page.expect_download() as download:
        page.get_by_text(name, exact=True).click()
    return Path(download.value.path()).read_text(encoding="utf-8-sig")


def test_a_person_is_enrolled_with_the_keyboard_alone(
    gallery_service: httpx.Client, console_page: OpenConsole
) -> None:
    page = console_page(gallery_service, "#/enroll")
    page.on("filechooser", lambda _: None)  # else the first one may come before it is listened for
    press_until(page, "it.type === 'file'")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(SHOTS["n001"][:3])
    expect(page.locator(".palm-usable")).to_have_count(3)
    press_until(page, "it.name === 'subject_id'")
    page.keyboard.type("ada left")
    press_until(page, "it.name === 'name'")
    page.keyboard.type("Ada")
    page.keyboard.press("Enter")
    field = page.get_by_label("Id", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".field", has=field).locator(".field-error")).to_contain_text("pattern")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("ada-left")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Ada is enrolled")).to_be_focused()
    told = gallery_service.get("/v1/subjects/ada-left").json()
    assert (told["name"], max(told["template_counts"].values())) == ("Ada", 3)


def test_a_poor_image_is_told_beside_it_before_anything_is_stored(
    gallery_service: httpx.Client, console_page: OpenConsole, tmp_path: Path
) -> None:
    with Image.open(SHOTS["n002"][0]) as sharp:
        sharp.filter(ImageFilter.GaussianBlur(4)).save(tmp_path / "blurred.png")
    (tmp_path / "letter.png").write_bytes(b"%PDF-1.7")
    page = console_page(gallery_service, "#/enroll")
    choose(page, SHOTS["n002"][0], tmp_path / "blurred.png", tmp_path / "letter.png")
    blurred, letter = page.locator(".palm").nth(1), page.locator(".palm").nth(2)
    expect(blurred).to_contain_text("Cannot be used")
    expect(blurred.locator(".reasons")).to_contain_text("the image is blurred")
    expect(letter.locator(".field-error")).to_contain_text("PNG")
    page.get_by_role("button", name="Make one").click()
    page.get_by_role("button", name="Enroll", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("image 2 cannot be used")
    assert gallery_service.get("/v1/subjects", params={"name": "p-"}).json()["subjects"] == []
    page.get_by_role("button", name="Remove image 3").click()
    page.get_by_role("button", name="Remove image 2").click()
    expect(page.locator(".palm")).to_have_count(1)


def test_a_known_palm_is_shown_and_enrolled_only_by_force(
    gallery_service: httpx.Client, console_page: OpenConsole
) -> None:
    page = console_page(gallery_service, "#/enroll")
    choose(page, KNOWN / "p001" / "01.png")
    expect(page.get_by_text("This palm is known already: p001")).to_be_visible()
    page.get_by_label("Id", exact=True).fill("twin")
    page.get_by_role("button", name="Enroll", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("this palm is enrolled as 'p001'")
    assert gallery_service.get("/v1/subjects/twin").status_code == 404
    page.get_by_role("button", name="Enroll nevertheless …").click()
    dialog = page.get_by_role("dialog", name="Enroll nevertheless?")
    expect(dialog).to_contain_text("this palm is enrolled as 'p001'")
    dialog.get_by_role("button", name="Enroll nevertheless").click()
    expect(page.get_by_role("heading", name="twin is enrolled")).to_be_visible()
    gallery_service.delete("/v1/subjects/twin").raise_for_status()


def test_an_enrolment_that_is_sent_again_keeps_its_key(
    gallery_service: httpx.Client, console_page: OpenConsole
) -> None:
    page = console_page(gallery_service, "#/enroll")
    keys: list[str] = []

    def lose_the_first(route: Any) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            route.abort()
        else:
            route.continue_()

    page.route("**/v1/enroll", lose_the_first)
    choose(page, SHOTS["n004"][0])
    page.get_by_label("Id", exact=True).fill("once")
    page.get_by_role("button", name="Enroll", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    page.get_by_role("button", name="Enroll", exact=True).click()
    expect(page.get_by_role("heading", name="once is enrolled")).to_be_visible()
    assert keys[0] == keys[1]
    gallery_service.delete("/v1/subjects/once").raise_for_status()


def test_two_editors_do_not_overwrite_each_other_unseen(
    gallery_service: httpx.Client, console_page: OpenConsole
) -> None:
    enroll(gallery_service, "edited", "n002", name="Grace")
    page = console_page(gallery_service, "#/people/edited")
    page.get_by_role("button", name="Change the details").click()
    page.get_by_label("Consent", exact=True).fill("form 7")
    gallery_service.patch("/v1/subjects/edited", json={"name": "Hopper"}).raise_for_status()
    page.get_by_role("button", name="Save").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Name is now: Hopper")
    expect(page.get_by_label("Consent", exact=True)).to_have_value("form 7")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    told = gallery_service.get("/v1/subjects/edited").json()
    assert (told["name"], told["consent"]) == ("Hopper", "form 7")


def test_images_are_added_and_one_is_erased(
    gallery_service: httpx.Client, console_page: OpenConsole
) -> None:
    enroll(gallery_service, "images", "n003")
    page = console_page(gallery_service, "#/people/images")
    page.get_by_role("button", name="Add images").click()
    choose(page, SHOTS["n003"][2])
    page.get_by_role("button", name="Add 1 image").click()
    rows = page.get_by_role("region", name="Enrolled images").get_by_role("row")
    expect(rows).to_have_count(4)
    rows.nth(1).get_by_role("button").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase for good").click()
    expect(rows).to_have_count(3)
    expect(page.get_by_text("One image", exact=True)).to_be_visible()


def test_a_person_is_exported_renamed_merged_and_erased(
    gallery_service: httpx.Client, console_page: OpenConsole
) -> None:
    enroll(gallery_service, "former", "n004", name=LONG_NAME)
    enroll(gallery_service, "double", "n004")
    page = console_page(gallery_service, "#/people/former")
    assert json.loads(download_of(page, "Export all data"))["subject"]["subject_id"] == "former"
    page.get_by_role("button", name="Change the id").click()
    page.get_by_label("New id").fill("later")
    page.get_by_role("dialog").get_by_role("button", name="Change the id").click()
    expect(page.get_by_text("A former id")).to_be_visible()
    assert page.url.endswith("#/people/later")
    page.get_by_role("button", name="Merge with another").click()
    page.get_by_label("Id of the other").fill("double")
    page.get_by_role("button", name="Merge and erase the other").click()
    expect(page.get_by_text("A person with all images")).to_be_visible()
    assert gallery_service.get("/v1/subjects/double").status_code == 404
    page.get_by_role("button", name="Erase this person").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase for good").click()
    expect(page.get_by_role("heading", name="later is erased")).to_be_visible()
    receipt = json.loads(download_of(page, "Download the receipt"))
    assert receipt["erased"] == "subject"
    known = gallery_service.get(f"/v1/erasures/{receipt['erasure_id']}").json()
    assert known["pseudonym"] == receipt["pseudonym"]
    assert gallery_service.get("/v1/subjects/later").status_code == 404


def test_a_trained_person_is_erased_only_if_confirmed(
    gallery_service: httpx.Client, console_page: OpenConsole
) -> None:
    page = console_page(gallery_service, "#/people/p009")
    page.get_by_role("button", name="Erase this person").click()
    erase = page.get_by_role("dialog").get_by_role("button", name="Erase for good")
    expect(erase).to_be_disabled()
    page.get_by_label("I know that").check()
    erase.click()
    expect(page.get_by_role("heading", name="p009 is erased")).to_be_visible()


def test_people_are_found_by_name_and_id_and_paged(
    gallery_service: httpx.Client, console_page: OpenConsole
) -> None:
    enroll(gallery_service, "zz-1", "n001", name="Zuse", collection="staff")
    page = console_page(gallery_service, "#/people")
    rows = page.locator(".subjects tbody tr")
    expect(rows).to_have_count(50)
    first = rows.first.inner_text()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Page 2")).to_be_visible()
    expect(rows.first).not_to_have_text(first)
    page.get_by_role("button", name="Previous").click()
    for wanted in ("uSe", "zz-1"):
        page.get_by_role("searchbox").fill(wanted)
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("Zuse")
    page.get_by_label("Origin").select_option("From training")
    expect(page.get_by_role("heading", name="Nobody is found")).to_be_visible()
    page.get_by_role("button", name="Clear the search").click()
    page.get_by_label("Collection").select_option("staff")
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Zuse").click()
    expect(page.get_by_role("heading", name="Zuse")).to_be_visible()
    page.get_by_role("link", name="All people").click()
    expect(rows).to_have_count(1)  # the search is kept


def test_a_folder_is_imported_with_a_report(
    gallery_service: httpx.Client, console_page: OpenConsole, tmp_path: Path
) -> None:
    folder = tmp_path / "people"
    people = {
        "new-1": SHOTS["n003"][3],
        "p002": KNOWN / "p002/01.png",
        "dup": KNOWN / "p003/01.png",
    }
    for subject_id, image in people.items():
        (folder / subject_id).mkdir(parents=True)
        (folder / subject_id / "1.png").write_bytes(image.read_bytes())
    (folder / "broken").mkdir()
    (folder / "broken" / "1.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("left out")
    (folder / "subjects.csv").write_text('subject_id,name,metadata.room\nnew-1,"Byron, Ada",7\n')
    for one in ("images", "new-1"):  # the palm of n003 must be new
        gallery_service.delete(f"/v1/subjects/{one}")
    page = console_page(gallery_service, "#/enroll")
    page.get_by_label("A folder").check()
    page.get_by_label("Choose a folder").set_input_files(folder)
    busy = iter([True])

    def be_busy_once(route: Any) -> None:
        if next(busy, False):
            problem = {"status": 503, "title": "Service overloaded", "detail": "wait for 1 s"}
            kind = {"Retry-After": "1", "Content-Type": "application/problem+json"}
            route.fulfill(status=503, headers=kind, body=json.dumps(problem))
        else:
            route.continue_()

    page.route("**/v1/enroll", be_busy_once)
    page.get_by_role("button", name="Enroll 4 people").click()
    expect(page.get_by_text("The service is busy")).to_be_visible()
    report = download_of(page, "Download as CSV")
    rows = {row["subject_id"]: row for row in csv.DictReader(StringIO(report))}
    outcomes = {one: row["outcome"] for one, row in rows.items()}
    assert outcomes == {"new-1": "enrolled", "p002": "exists", "dup": "known", "broken": "refused"}
    assert "image" in rows["broken"]["reason"]
    told = gallery_service.get("/v1/subjects/new-1").json()
    assert (told["name"], told["metadata"]) == ("Byron, Ada", {"room": "7"})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_state_is_accessible_and_fits_a_phone(
    gallery_service: httpx.Client, console_page: OpenConsole, scheme: Any
) -> None:
    enroll(gallery_service, f"long-{scheme}", "n002", name=LONG_NAME)
    page = console_page(gallery_service, "#/people", color_scheme=scheme, viewport=PHONE)
    page.locator(".subjects").wait_for()
    seen = [*serious_findings(page), fits_its_width(page)]
    page.get_by_role("searchbox").fill(f"long-{scheme}")
    page.locator(f'.subjects a[href$="long-{scheme}"]').click()
    page.get_by_role("button", name="Change the details").click()
    page.get_by_role("button", name="Add images").click()
    seen += [*serious_findings(page), fits_its_width(page)]
    page.get_by_role("button", name="Erase this person").click()
    seen += [*serious_findings(page), fits_its_width(page)]
    page.get_by_role("dialog").get_by_role("button", name="Erase for good").click()
    page.get_by_text("Download the receipt").wait_for()
    seen += [*serious_findings(page), fits_its_width(page)]
    page.get_by_role("navigation").get_by_role("link", name="Enroll").click()
    choose(page, KNOWN / "p001" / "01.png")
    page.get_by_text("This palm is known already").wait_for()
    page.get_by_role("button", name="Enroll", exact=True).click()
    seen += [*serious_findings(page), fits_its_width(page)]
    assert seen == [True] * 5


def test_a_key_sees_only_what_it_may_do(start: Start, console_page: OpenConsole) -> None:
    with start() as http:
        http.headers["Authorization"] = f"Bearer {make_key(http, 'admin', 'enroll', 'force')}"
        enroll(http, "ada", "n001")
        page = console_page(http, "#/people/ada", key=make_key(http, "read"))
        page.get_by_role("heading", name="ada").wait_for()
        expect(page.locator("main").get_by_role("button")).to_have_count(0)
        page = console_page(http, "#/enroll", key=make_key(http, "enroll", "read"))
        choose(page, SHOTS["n001"][0])
        expect(page.get_by_text("Not checked")).to_be_visible()
        page.get_by_label("Id", exact=True).fill("twin")
        page.get_by_role("button", name="Enroll", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("this palm is enrolled as 'ada'")
        expect(page.get_by_role("button", name="nevertheless")).to_have_count(0)
