import gc
import os
import resource
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.database.image_files import default_scratch
from training.database.layouts import NAMED
from training.database.palms import DataOptions, Palms, load_database, load_palms
from training.database.split import load_split
from training.fit.augmentation import augment, enlarge, grain

WriteImage = Callable[[Path, int], None]
Damage = Callable[[Path], None]


@pytest.fixture(scope="session")
def palms(database: Path) -> Palms:
    return load_palms(database, 32)


def test_labels_and_sessions_follow_the_folders(palms: Palms) -> None:
    assert palms.images().shape == (36, 32, 32)
    assert palms.identities == ("p001", "p002", "p003", "p004")
    for file, label, session in zip(palms.files, palms.labels, palms.sessions, strict=True):
        identity, visit, _ = Path(file).parts
        assert palms.identities[label] == identity
        assert palms.session_names[session] == visit


def test_images_are_the_files_pixels(database: Path) -> None:
    palms = load_palms(database, 128)
    for i in (0, 17, 35):
        expected = cv2.imread(str(database / palms.files[i]), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(palms.images(np.array([i]))[0], expected)


@pytest.mark.parametrize("layout", NAMED)
def test_every_database_is_read_labelled_and_split(
    layout: str, names: dict[str, list[str]], image: WriteImage, tmp_path: Path
) -> None:
    """Every palm has a grey of its own, in 8 or 16 bits or RGB, so that a mix-up would show."""
    greys = {}
    for name in names[layout]:
        who = tuple(part for part in _who(layout, name))
        greys.setdefault(who, 20 + 15 * len(greys))
        image(tmp_path / name, greys[who])
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


def _who(layout: str, name: str) -> tuple[str, ...]:
    """The characters that tell palms apart, cut out by position: an independent reading."""
    stem = Path(name).stem
    match layout:
        case "fyo":
            return stem[:2], stem[5]
        case "vera":
            return stem[:3], stem[4]
        case "put":
            return stem[0], stem[3:6], stem[7]
        case "casia":
            return stem[:3], stem[4]
        case "polyu":
            return (stem[2:6],)
        case _:
            return (str((int(stem) - 1) // 10),)


def test_selection_shares_the_pixels(palms: Palms) -> None:
    some = palms.select(palms.labels == 2).select(np.arange(9) % 2 == 0)
    assert some.pixels is palms.pixels
    assert some.files == tuple(f for f in palms.files if f.startswith("p003"))[::2]
    np.testing.assert_array_equal(some.images(), palms.images(palms.labels == 2)[::2])


def test_relabelled_palms_know_their_own_identities_only(palms: Palms) -> None:
    some = palms.select(palms.labels % 2 == 1).relabelled()
    assert some.identities == ("p002", "p004")
    assert [some.identities[label] for label in some.labels] == [f[:4] for f in some.files]


def test_digest_is_of_names_and_bytes(database: Path, palms: Palms, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for file in palms.files:
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        (copy / file).write_bytes((database / file).read_bytes())
    assert load_palms(copy, 16).sha256 == palms.sha256
    (copy / palms.files[5]).write_bytes((database / palms.files[6]).read_bytes())
    assert load_palms(copy, 16).sha256 != palms.sha256


def test_options_reach_the_reader(
    names: dict[str, list[str]], image: WriteImage, tmp_path: Path
) -> None:
    for name in names["casia"]:
        image(tmp_path / name, 90)
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
def test_damaged_image_is_named_in_one_line(
    damage: Damage, image: WriteImage, tmp_path: Path
) -> None:
    for i in range(20):
        image(tmp_path / f"p{i % 4}" / "s1" / f"{i}.bmp", 100)
    damage(tmp_path / "p1" / "s1" / "9.bmp")
    with pytest.raises(ValueError, match=r"p1/s1/9\.bmp: .*`python -m training check --data") as e:
        load_palms(tmp_path, 16)
    assert "\n" not in str(e.value)


def test_decoded_images_have_no_name_and_leave_nothing(database: Path, tmp_path: Path) -> None:
    palms = load_palms(database, 16, scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(_open_in(tmp_path)) == 1
    assert _open_in(tmp_path)[0].endswith("(deleted)")
    del palms
    gc.collect()
    assert _open_in(tmp_path) == []


def _open_in(folder: Path) -> list[str]:
    """This process's open files in a folder, by the names that they have or had."""
    links = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    targets = [os.readlink(link) for link in links]
    return [target for target in targets if target.startswith(str(folder))]


def test_too_small_a_disk_is_said_before_decoding(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on file sizes is a full disk that needs no privileges: real writes really fail."""
    monkeypatch.setattr("training.database.palms.decode", None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OSError, match=rf"2 MiB .* {tmp_path} .*--scratch$") as caught:
            load_palms(database, 224, scratch=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_disk_that_fills_up_while_writing_is_no_crash(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on file systems that promise room and then have none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr("training.database.image_files.os.posix_fallocate", lambda *_: None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(OSError, match=r"2 MiB of decoded images cannot be kept"):
            load_palms(database, 224, scratch=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    gc.collect()  # an unclosed file would warn here


def test_missing_scratch_folder_is_named(database: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nowhere \(No such file or directory\).*--scratch"):
        load_palms(database, 16, scratch=tmp_path / "nowhere")


def test_scratch_is_tmpdir_or_var_tmp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert DataOptions(data=tmp_path).scratch == tmp_path
    monkeypatch.delenv("TMPDIR")
    assert default_scratch() == Path("/var/tmp")
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    assert default_scratch() == Path(tempfile.gettempdir())


def test_disk_that_loses_images_is_an_error(database: Path) -> None:
    palms = load_palms(database, 16)
    os.truncate(f"/proc/self/fd/{palms.pixels._file.fileno()}", 1000)
    with pytest.raises(OSError, match="read 232 of 256 bytes of decoded image 3"):
        palms.images()


def test_augmented_palm_is_not_mirrored() -> None:
    """A mark at the left stays at the left: a flip would make it another palm."""
    image = np.full((224, 224), 200, np.uint8)
    image[80:140, 20:60] = 0
    for seed in range(30):
        changed = augment(image, np.random.default_rng(seed)).astype(float)
        dark = changed < changed.max() / 4
        assert dark[:, :112].sum() > dark[:, 112:].sum()


def test_light_and_bend_are_the_cubic_interpolation_of_opencv() -> None:
    grid = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    expected = cv2.resize(grid, (224, 224), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(enlarge(grid, 224), expected, atol=1e-5)


def test_grain_is_white_and_hardly_ever_twice_the_same() -> None:
    rng = np.random.default_rng(0)
    one, other = grain(224, rng), grain(224, rng)
    assert one.std() == pytest.approx(1, rel=0.02)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(one[:, :-1].ravel(), one[:, 1:].ravel())[0, 1]) < 0.02
