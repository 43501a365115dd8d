import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import get_args

import pytest

from tests.training.database.conftest import NAMES
from training.database.index import Index, index_database
from training.database.layouts import LAYOUTS, NAMED, Layout, may_be_session_first
from training.database.palms import DataOptions

Touch = Callable[[Sequence[str]], Path]

PALMS_OF_PEOPLE = ("001-L", "001-R", "002-L", "002-R", "003-L", "003-R")
EXPECTED = {
    # layout: identities, images of each, sessions, what is left out
    "fyo": (PALMS_OF_PEOPLE, 2, ("1", "2"), {}),
    "vera": (PALMS_OF_PEOPLE, 10, ("1", "2"), {}),
    "put": (
        ("001-L", "001-R", "017-L", "017-R", "050-L", "050-R"),
        12,
        tuple("123"),
        {"wrists": 72},
    ),
    "casia": (PALMS_OF_PEOPLE, 12, ("1", "2"), {"of another band": 72}),
    "polyu": (tuple(f"{i:04}" for i in range(1, 7)), 12, ("1", "2"), {}),
    "tongji": (tuple(f"{i:03}" for i in range(1, 7)), 20, ("1", "2"), {}),
}


TWO = ["a/1.png", "b/1.png"]


def sightings(index: Index) -> dict[str, tuple[str, str | None, int]]:
    return {p.path: (p.identity, p.session, p.shot) for p in index.images}


@pytest.mark.parametrize("layout", NAMED)
def test_every_database_is_known_by_its_names(layout: str, touch: Touch) -> None:
    index = index_database(touch(NAMES[layout]))
    identities, each, sessions, left_out = EXPECTED[layout]
    assert index.layout == layout
    assert index.identities == identities
    assert set(Counter(p.identity for p in index.images).values()) == {each}
    assert index.session_names == sessions
    assert index.left_out == left_out


@pytest.mark.parametrize("layout", NAMED)
def test_no_name_of_one_database_fits_another(layout: str) -> None:
    for other, parse in NAMED.items():
        fits = [bool(parse(PurePosixPath(name))) for name in NAMES[layout]]
        assert fits == [other == layout] * len(fits)


@pytest.mark.parametrize(
    ("layout", "path", "sighting"),
    [
        ("fyo", "Subject 3/Session 2/s3_1_L_S2.jpg", ("003-L", "2", 1)),
        ("vera", "001-M/01/001_R_1_4.png", ("001-R", "1", 4)),
        ("put", "P_o017_L_S3_Nr2.bmp", ("017-L", "3", 2)),
        ("casia", "002_r_940_03.jpg", ("002-R", "1", 3)),
        ("casia", "002_r_850_04.jpg", ("002-R", "2", 4)),
        ("polyu", "NIR/I_0002_06.jpg", ("0002", "1", 6)),
        ("polyu", "NIR/I_0002_07.jpg", ("0002", "2", 7)),
        ("tongji", "session1/00010.bmp", ("001", "1", 10)),
        ("tongji", "session2/00011.bmp", ("002", "2", 11)),
    ],
)
def test_a_name_says_whose_palm_which_session_which_shot(
    layout: str, path: str, sighting: tuple[str, str, int], touch: Touch
) -> None:
    assert sightings(index_database(touch(NAMES[layout])))[path] == sighting


def test_hands_of_one_person_are_one_class_when_people_are_asked_for(touch: Touch) -> None:
    index = index_database(touch(NAMES["put"]), classes="person")
    assert index.identities == ("001", "017", "050")
    assert {p.hand for p in index.images} == {"L", "R"}


@pytest.mark.parametrize("layout", ["polyu", "tongji"])
def test_databases_that_number_palms_have_no_people(layout: str, touch: Touch) -> None:
    with pytest.raises(ValueError, match=f"{layout} does not say which .*--classes palm"):
        index_database(touch(NAMES[layout]), classes="person")


def test_bands_are_chosen_and_those_of_one_moment_share_its_shot(touch: Touch) -> None:
    folder = touch(NAMES["casia"])
    one = index_database(folder, bands=(940,))
    assert {p.path.split("_")[2] for p in one.images} == {"940"}
    found = sightings(index_database(folder))
    assert found["001_l_850_02.jpg"] == found["001_l_940_02.jpg"]
    with pytest.raises(
        ValueError, match=r"144 of another band\): choose from --bands 460 850 940$"
    ):
        index_database(folder, bands=(700,))


def test_visible_light_of_polyu_is_left_out(touch: Touch) -> None:
    red = [name.replace("NIR/I_", "Red/R_") for name in NAMES["polyu"]]
    unlabelled = [name.replace("NIR/", "Blue/") for name in NAMES["polyu"]]
    index = index_database(touch([*NAMES["polyu"], *red, *unlabelled]))
    assert all(p.path.startswith("NIR/") for p in index.images)
    assert index.left_out == {"of another band": 144}


def test_raw_and_roi_are_never_mixed(touch: Touch) -> None:
    both = [f"{kind}/{name}" for kind in ("raw", "roi") for name in NAMES["vera"]]
    folder = touch(both)
    index = index_database(folder)
    assert all(p.path.startswith("roi/") for p in index.images)
    assert index.left_out == {"outside the roi folder, which is used instead": 60}
    assert len(index_database(folder / "raw").images) == 60


def test_two_files_of_one_shot_are_refused(touch: Touch) -> None:
    twice = [f"{kind}/{name}" for kind in ("good", "sharpened") for name in NAMES["vera"]]
    with pytest.raises(
        ValueError, match=r"good/001-M/01/001_L_1_1\.png and sharpened/001-M.*--data"
    ):
        index_database(touch(twice))


def test_fyo_file_in_the_wrong_session_folder_is_left_out(touch: Touch) -> None:
    index = index_database(touch([*NAMES["fyo"], "Subject 1/Session 1/s1_2_L_S2.jpg"]))
    assert index.left_out == {"with names and folders that disagree on the session": 1}
    assert len(index.images) == 12


@pytest.mark.parametrize("layout", NAMED)
def test_case_of_names_and_extensions_does_not_matter(layout: str, touch: Touch) -> None:
    index = index_database(touch([name.upper() for name in NAMES[layout]]))
    assert (index.layout, index.identities) == (layout, EXPECTED[layout][0])


def test_own_folders_are_identities_and_sessions_in_natural_order(touch: Touch) -> None:
    paths = [f"{who}/day{d}/{n}.tif" for who in ("ada", "bob") for d in (1, 2, 10) for n in (9, 10)]
    index = index_database(touch(paths))
    assert index.layout == "plain"
    assert index.identities == ("ada", "bob")
    assert index.session_names == ("day1", "day2", "day10")
    assert sightings(index)["ada/day10/9.tif"] == ("ada", "day10", 1)
    assert sightings(index)["ada/day10/10.tif"] == ("ada", "day10", 2)


def test_own_folders_need_no_sessions(touch: Touch) -> None:
    index = index_database(touch(["ada/1.png", "ada/2.png", "bob/1.png"]))
    assert index.session_names == ()
    assert [p.shot for p in index.images] == [1, 2, 1]


def test_own_folders_with_and_without_sessions_are_refused(touch: Touch) -> None:
    with pytest.raises(ValueError, match=r"folder \(ada/s1/1\.png\).*not \(bob/1\.png\)"):
        index_database(touch(["ada/s1/1.png", "bob/1.png"]))


def tree(outer: Sequence[str], inner: Sequence[str]) -> list[str]:
    return [f"{a}/{b}/{n}.png" for a in outer for b in inner for n in (1, 2)]


def numbers(count: int, form: str = "{:03}") -> list[str]:
    return [form.format(number) for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (["session1", "session2"], ["ada", "bob"]),
        (["session1", "session2"], numbers(12)),
        (["Session_1", "Session_2", "Session_3"], ["s1", "s2"]),
        (["2024-05-01", "2024-06-01"], ["ada", "bob"]),
        (["20240501", "20240601", "20240701"], numbers(2)),
        (["day1", "day2"], numbers(12)),
        (["s1", "s2"], ["ada", "bob", "eve"]),
        (["1", "2"], numbers(12)),
        (["evening", "morning"], ["ada", "bob", "eve"]),
        (["left", "right"], numbers(12, "p{:03}")),
    ],
)
def test_folders_that_may_be_sessions_of_identities_are_not_taken_for_identities(
    outer: list[str], inner: list[str], touch: Touch
) -> None:
    folder = touch(tree(outer, inner))
    with pytest.raises(
        ValueError,
        match=rf"{len(outer)} identities \({outer[0]}, {outer[1]}.*\) with {len(inner)} sessions "
        rf".*{len(outer)} sessions of {len(inner)} identities: .*--layout plain.*session-first",
    ):
        index_database(folder)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (["ada", "bob"], numbers(12, "s{}")),
        (["ada", "bob"], numbers(12, "{}")),
        (["1", "2"], numbers(12, "session{}")),
        (["ada", "bob"], ["2024-05-01", "2024-05-02", "2024-06-01"]),
        (numbers(40, "s{}"), ["morning", "evening"]),
        (numbers(12), numbers(2)),
        (["s1", "s2", "s3"], ["s1", "s2", "s3"]),
        (["ada", "bob"], ["morning", "evening"]),
    ],
)
def test_folders_that_are_identities_with_sessions_are_read(
    outer: list[str], inner: list[str], touch: Touch
) -> None:
    index = index_database(touch(tree(outer, inner)))
    assert index.layout == "plain"
    assert set(index.identities) == set(outer)
    assert set(index.session_names) == set(inner)


def test_two_people_with_twelve_sessions_are_read_if_the_layout_is_named(touch: Touch) -> None:
    folder = touch(tree(["1", "2"], numbers(12)))
    index = index_database(folder, layout="plain")
    assert index.identities == ("1", "2")
    assert index.session_names == tuple(numbers(12))


def test_folders_of_sessions_hold_identities_if_the_layout_is_named(touch: Touch) -> None:
    folder = touch([*tree(["session10", "session9"], numbers(12)), "session9/loose.png"])
    index = index_database(folder, layout="session-first")
    assert index.layout == "session-first"
    assert index.identities == tuple(numbers(12))
    assert index.session_names == ("session9", "session10")
    assert [(p.path, p.shot) for p in index.images[:3]] == [
        ("session9/001/1.png", 1),
        ("session9/001/2.png", 2),
        ("session10/001/1.png", 1),
    ]
    assert index.left_out == {"with names that do not fit the layout": 1}


def test_one_folder_of_another_name_hides_no_sessions() -> None:
    assert may_be_session_first(["session1", "session2", "misc"], numbers(12))
    assert not may_be_session_first(["ada", "bob", "day1"], ["s1", "s2"])


def test_hidden_files_and_other_files_are_passed_over(touch: Touch) -> None:
    hidden = ["ada/._1.png", ".cache/ada/1.png", "ada/.s/1.png", "ada/notes.txt", "ada/Thumbs.db"]
    index = index_database(touch(["ada/1.png", "bob/1.png", *hidden]))
    assert [p.path for p in index.images] == ["ada/1.png", "bob/1.png"]
    assert index.left_out == {}


def test_images_that_fit_no_name_are_counted(touch: Touch) -> None:
    index = index_database(touch([*NAMES["vera"], "poster.png", "001-M/01/mask.png"]))
    assert index.left_out == {"with names that do not fit the layout": 2}
    assert str(index) == (
        "layout vera, 60 images of 6 identities, 2 sessions; "
        "left out: 2 with names that do not fit the layout"
    )


def test_links_are_followed_and_a_circle_ends(
    touch: Touch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = touch(["ada/1.png"])
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "9.png").touch()
    (folder / "bob").symlink_to(elsewhere)
    (folder / "ada" / "2.png").symlink_to(elsewhere / "9.png")
    (folder / "ada" / "up").symlink_to(folder)
    index = index_database(folder)
    assert [p.path for p in index.images] == ["ada/1.png", "ada/2.png", "bob/9.png"]
    assert index.left_out == {}


def test_two_databases_in_one_folder_are_ambiguous_until_one_is_named(touch: Touch) -> None:
    folder = touch([*NAMES["vera"], *NAMES["put"]])
    with pytest.raises(ValueError, match=r"vera fits 60, such as 001-M/.*put fits 144.*--layout"):
        index_database(folder)
    index = index_database(folder, layout="vera")
    assert index.left_out == {"with names that do not fit the layout": 144}


def test_a_few_names_among_many_others_decide_nothing(touch: Touch) -> None:
    own = [f"ada/{n}.png" for n in range(9)] + ["bob/001_L_1_1.png"]
    with pytest.raises(ValueError, match=r"of its 10 images vera fits 1, .*\(vera or plain\)"):
        index_database(touch(own))
    assert len(index_database(touch(own), layout="plain").images) == 10


@pytest.mark.parametrize(
    ("paths", "options", "error", "message"),
    [
        ([], {}, FileNotFoundError, r"no images at <identity>/<session>/<image>.*--data$"),
        (["ada/1.txt"], {}, FileNotFoundError, "no images at"),
        (["1.png", "2.png"], {}, ValueError, r"no layout fits its 2 images, such as 1\.png"),
        (["ada/1.png"], {}, ValueError, r"only one identity \(ada\)"),
        (TWO, {"layout": "put"}, ValueError, "put fits none of its 2 images"),
        (TWO, {"layout": "PUT"}, ValueError, "--layout PUT is unknown: choose one of auto, fyo"),
        (TWO, {"classes": "hand"}, ValueError, "--classes hand .* palm, person$"),
    ],
)
def test_bad_input_gets_an_error_of_one_line(
    paths: list[str], options: dict[str, str], error: type[Exception], message: str, touch: Touch
) -> None:
    with pytest.raises(error, match=message) as caught:
        index_database(touch(paths) if paths else touch(["readme.md"]), **options)
    assert "\n" not in str(caught.value)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere is not a folder"):
        index_database(tmp_path / "nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_folder_that_may_not_be_read_is_no_empty_one(touch: Touch) -> None:
    folder = touch(["ada/1.png", "bob/1.png", "eve/1.png"])
    (folder / "eve").chmod(0)
    with pytest.raises(PermissionError):
        index_database(folder)
    (folder / "eve").chmod(0o700)


def test_every_choice_of_a_layout_can_be_read() -> None:
    assert get_args(Layout) == ("auto", *LAYOUTS)


def test_documentation_has_every_layout_and_option() -> None:
    text = (Path(__file__).parents[3] / "docs" / "databases.md").read_text()
    assert [name for name in LAYOUTS if f"| `{name}` |" not in text] == []
    options = [f"--{field.name.replace('_', '-')}" for field in fields(DataOptions)]
    assert [option for option in options if option not in text] == []
