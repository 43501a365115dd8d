import threading
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.training.database.conftest import NAMES, write_image
from training.database.layouts import NAMED
from training.database.palms import DataOptions, Palms, load_database, load_palms
from training.database.split import load_split

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four identities, three sessions, three shots: 36 different grey images of 100x96 px."""
    folder = tmp_path_factory.mktemp("database")
    rng = np.random.default_rng(0)
    for p, s, shot in product((1, 2, 3, 4), (1, 2, 3), (1, 2, 3)):
        path = folder / f"p{p:03}" / f"s{s}" / f"{shot}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (96, 100), np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def palms(database: Path) -> Palms:
    return load_palms(database, 32)


def test_labels_and_sessions_follow_the_folders(palms: Palms) -> None:
    assert palms.images().shape == (36, 32, 32)
    assert palms.identities == ("p001", "p002", "p003", "p004")
    for file, label, session in zip(palms.files, palms.labels, palms.sessions, strict=True):
        assert (palms.identities[label], palms.session_names[session]) == Path(file).parts[:2]


def test_images_are_the_centred_squares_of_the_files(database: Path) -> None:
    palms = load_palms(database, 96)
    for i in (0, 17, 35):
        expected = cv2.imread(str(database / palms.files[i]), cv2.IMREAD_GRAYSCALE)
        assert expected is not None
        np.testing.assert_array_equal(palms.images(np.array([i]))[0], expected[:, 2:98])


@pytest.mark.parametrize("layout", NAMED)
def test_every_database_is_read_labelled_and_split(layout: str, tmp_path: Path) -> None:
    """Every palm has a grey of its own, in 8 or 16 bits or RGB: a wrong label shows."""
    greys = {}
    for name in NAMES[layout]:
        who = _who(layout, name)
        greys.setdefault(who, 20 + 15 * len(greys))
        write_image(tmp_path / name, greys[who])
    split = load_split(DataOptions(data=tmp_path, size_px=16))
    assert split.kind == "session"
    assert not set(split.train.sessions.tolist()) & set(split.test.sessions.tolist())
    for part in (split.train, split.validation, split.test):
        assert part.identities == split.train.identities
        assert len(part.identities) == 6
        for file, label, shown in zip(part.files, part.labels, part.images(), strict=True):
            grey = greys[_who(layout, file)]
            assert np.abs(shown.astype(int) - grey).max() <= 3  # JPEG
            others = [f for f, other in zip(part.files, part.labels, strict=True) if other == label]
            assert {_who(layout, f) for f in others} == {_who(layout, file)}


WHO = {
    "fyo": lambda stem: (stem[:2], stem[5]),
    "vera": lambda stem: (stem[:3], stem[4]),
    "put": lambda stem: (stem[0], stem[3:6], stem[7]),
    "casia": lambda stem: (stem[:3], stem[4]),
    "polyu": lambda stem: stem[2:6],
    "tongji": lambda stem: (int(stem) - 1) // 10,
}
"""The characters that tell palms apart, cut out by position: an independent reading."""


def _who(layout: str, name: str) -> object:
    return WHO[layout](Path(name).stem)


def test_selection_shares_the_pixels(palms: Palms) -> None:
    some = palms.select(palms.labels == 2).select(np.arange(9) % 2 == 0)
    assert some.pixels is palms.pixels
    assert some.files == tuple(f for f in palms.files if f.startswith("p003"))[::2]
    np.testing.assert_array_equal(some.images(), palms.images(palms.labels == 2)[::2])


def test_relabelled_palms_know_their_own_identities_only(palms: Palms) -> None:
    some = palms.select(palms.labels % 2 == 1).relabelled()
    assert some.identities == ("p002", "p004")
    assert [some.identities[label] for label in some.labels] == [f[:4] for f in some.files]


def test_digest_is_of_paths_and_bytes(database: Path, palms: Palms, tmp_path: Path) -> None:
    """Versions store it: another formula would make every database a different one."""
    expected = sha256()
    for file in palms.files:
        content = sha256((database / file).read_bytes()).hexdigest()
        expected.update(f"{file}\0{content}\0".encode())
    assert palms.sha256 == expected.hexdigest()
    copy = tmp_path / "copy"
    for file in palms.files:
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        (copy / file).write_bytes((database / file).read_bytes())
    assert load_palms(copy, 16).sha256 == palms.sha256
    (copy / palms.files[5]).write_bytes((database / palms.files[6]).read_bytes())
    assert load_palms(copy, 16).sha256 != palms.sha256


def test_options_reach_the_reader(tmp_path: Path) -> None:
    for name in NAMES["casia"]:
        write_image(tmp_path / name, 90)
    options = DataOptions(data=tmp_path, classes="person", bands=(460,), size_px=8)
    palms = load_database(options)
    assert palms.identities == ("001", "002", "003")
    assert palms.images().shape == (36, 8, 8)
    with pytest.raises(ValueError, match="put fits none"):
        load_database(replace(options, layout="put"))


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _dangle(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.png")


@pytest.mark.parametrize("damage", [_truncate, _dangle, lambda path: path.write_bytes(b"")])
def test_damaged_image_is_named_in_one_line(damage: Damage, tmp_path: Path) -> None:
    for i in range(20):
        write_image(tmp_path / f"p{i % 4}" / "s1" / f"{i}.bmp", 100)
    damage(tmp_path / "p1" / "s1" / "9.bmp")
    with pytest.raises(ValueError, match=r"p1/s1/9\.bmp: .*`python -m training check --data") as e:
        load_palms(tmp_path, 16)
    assert "\n" not in str(e.value)


def test_no_thread_outlives_a_reading_that_fails(tmp_path: Path) -> None:
    for i in range(4):
        write_image(tmp_path / f"p{i % 2}" / "s1" / f"{i}.bmp", 100)
    _truncate(tmp_path / "p1" / "s1" / "1.bmp")
    with pytest.raises(ValueError, match=r"1\.bmp") as kept:
        load_palms(tmp_path, 16)
    assert kept.tb  # its frames hold everything that the reading has opened
    assert not [one for one in threading.enumerate() if "ThreadPool" in one.name]


def test_a_size_without_pixels_is_refused(database: Path) -> None:
    with pytest.raises(ValueError, match=r"--size-px must be at least 1, .* not 0"):
        load_palms(database, 0)


def test_folders_of_sessions_are_read_labelled_and_split(tmp_path: Path) -> None:
    """Every palm has a grey of its own: a wrong label shows."""
    for s, p, shot in product((1, 2, 3), range(5), (1, 2)):
        write_image(tmp_path / f"day{s}" / f"{p}" / f"{shot}.png", 50 + 20 * p)
    split = load_split(DataOptions(data=tmp_path, layout="session-first", size_px=16))
    assert split.kind == "session"
    for part, session in ((split.train, 0), (split.validation, 1), (split.test, 2)):
        assert part.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
        assert set(part.sessions.tolist()) == {session}
        greys = part.images().mean(axis=(1, 2))
        np.testing.assert_array_equal(greys, 50 + 20 * part.labels)
