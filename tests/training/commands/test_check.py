"""What `check` reports of a database, also where a training would stop."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.nets.files import NetMissing
from training.commands.check import CheckConfig, check
from training.commands.synthesize import SynthesizeConfig, synthesize

SIDE = 96


def write(path: Path, seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> None:
    """Writes an image of coarse squares, another for every seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(40, 220, (8, 8), np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three identities, three sessions, two shots: 18 different images."""
    for number in range(18):
        identity, session, shot = number // 6, number // 2 % 3, number % 2
        write(tmp_path / "db" / f"p{identity}" / f"s{session}" / f"{shot}.png", number)
    return tmp_path / "db"


def configure(folder: Path, **options: object) -> CheckConfig:
    values = {"data": folder, "size_px": 32, "scratch": folder.parent} | options
    return CheckConfig(**values)  # type: ignore[arg-type]


def test_a_sound_database_is_fit_to_train_on(folder: Path) -> None:
    out = folder.parent / "reports" / "check.json"
    result = check(configure(folder, out=out))
    assert result.counts == {"images": 18, "identities": 3, "sessions": 3}
    assert result.sizes == {"96x96 L": 18}
    assert result.images_per_identity == {"min": 6, "median": 6.0, "max": 6}
    parts = {name: part["images"] for name, part in result.split["parts"].items()}
    assert parts == {"training": 6, "validation": 6, "test": 6}
    assert result.problems == []
    text = " ".join(str(result).split())  # long paths are wrapped
    assert "18 images, 3 identities, 3 sessions" in text
    assert text.endswith(f"written {out} verdict {folder} is fit to train on.")
    stored = json.loads(out.read_text())
    assert stored["counts"] == result.counts
    assert (stored["leakage"]["exact"], stored["leakage"]["near"]) == (0, 0)
    assert stored["verdict"] == result.verdict
    assert [path.name for path in out.parent.iterdir()] == ["check.json"]


def test_a_folder_is_no_file_to_write(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=rf"--out {folder} is a folder"):
        check(configure(folder, out=folder))
    assert capsys.readouterr().err == ""  # before any image is read


def test_folders_of_sessions_are_no_identities_with_twelve_sessions(tmp_path: Path) -> None:
    for number in range(24):
        session, identity = number // 12 + 1, number % 12 + 1
        write(tmp_path / "db" / f"session{session}" / f"{identity:03}" / "1.png", number)
    with pytest.raises(ValueError, match=r"2 identities \(session1, session2\) with 12 sessions"):
        check(configure(tmp_path / "db"))
    result = check(configure(tmp_path / "db", layout="session-first"))
    assert result.layout == "session-first"
    assert result.counts == {"images": 24, "identities": 12, "sessions": 2}
    assert "layout session-first" in " ".join(str(result).split())  # the path may be long


def test_all_unreadable_files_are_listed_and_the_others_counted(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "p0/s0/0.png").write_bytes(b"no image")
    (folder / "p2/s1/1.png").write_bytes((folder / "p2/s1/0.png").read_bytes()[:300])
    with pytest.raises(ValueError, match="db is not fit to train on: 2 files cannot be read"):
        check(configure(folder, out=folder.parent / "check.json"))
    printed = capsys.readouterr().out
    assert "p0/s0/0.png: the 8 bytes are not a readable image" in printed
    assert "p2/s1/1.png: the PNG image of 300 bytes is truncated" in printed
    assert "96x96 L: 16" in printed
    stored = json.loads((folder.parent / "check.json").read_text())
    assert sorted(stored["unreadable"]) == ["p0/s0/0.png", "p2/s1/1.png"]
    assert sum(part["images"] for part in stored["split"]["parts"].values()) == 16


def test_a_folder_without_one_readable_image_is_refused(tmp_path: Path) -> None:
    for identity in ("a", "b"):
        (tmp_path / "db" / identity).mkdir(parents=True)
        (tmp_path / "db" / identity / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"none of the 2 images can be used, such as a/1.png"):
        check(configure(tmp_path / "db"))


def test_copies_across_the_split_are_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "p1/s2/1.png").write_bytes((folder / "p0/s0/1.png").read_bytes())
    with pytest.raises(ValueError, match="1 exact and 0 near copies across the split"):
        check(configure(folder))
    assert "p0/s0/1.png (training) and p1/s2/1.png (test)" in capsys.readouterr().out


def test_a_database_too_small_to_split_is_a_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        write(tmp_path / "db" / f"p{number}" / "1.png", number)
    with pytest.raises(ValueError, match="not fit to train on: 3 images are too few"):
        check(configure(tmp_path / "db"))
    printed = capsys.readouterr().out
    assert "3 images are too few for a split by seed" in printed
    assert "p2: 1" in printed


def test_sizes_are_counted_and_files_left_out_explained(folder: Path) -> None:
    write(folder / "p0/s1/0.png", 77, (128, 100))
    write(folder / "loose.png", 78)
    result = check(configure(folder))
    assert result.sizes == {"96x96 L": 17, "128x100 L": 1}
    assert sum(result.left_out.values()) == 1


def write_deep(folder: Path, bits: int) -> Path:
    """Writes 16-bit files of six identities that fill the levels of that many bits."""
    for number in range(12):
        path = folder / f"p{number // 2}" / f"{number % 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        rough = np.random.default_rng(number).uniform(0, 1, (SIDE, SIDE))
        Image.fromarray((rough * (2**bits - 1)).astype(np.uint16)).save(path)
    return folder


def configure_deep(folder: Path, **options: object) -> CheckConfig:
    """Keeps all pixels, and splits so that no turned copies need be searched."""
    return configure(folder, size_px=SIDE, split="identity", **options)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_any_number_of_bits_in_a_16_bit_file_is_fit_to_train(bits: int, tmp_path: Path) -> None:
    folder = write_deep(tmp_path / "db", bits)
    result = check(configure_deep(folder))
    # The percentiles leave 1 % of the evenly spread levels off at either end.
    assert result.grey_range == (pytest.approx(2.55, abs=1), pytest.approx(252.45, abs=1))
    assert result.problems == []


def test_a_dark_database_is_refused_in_spite_of_a_few_overexposed_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_deep(tmp_path / "db", 12)
    for path in folder.rglob("*.png"):
        deep = np.array(Image.open(path))
        deep[:4, :8] = 65535  # 0.3 %
        Image.fromarray(deep).save(path)
    config = configure_deep(folder, out=tmp_path / "check.json")
    reason = r"17 of 256 grey levels \(0 to 16\): rescale .* 0 to 65535"
    with pytest.raises(ValueError, match=reason):
        check(config)
    assert "grey levels   0 to 16 of 0 to 255" in capsys.readouterr().out
    assert json.loads((tmp_path / "check.json").read_text())["grey_range"] == [0, 16]


def test_hands_and_persons_are_counted(tmp_path: Path) -> None:
    for number in range(12):
        person, hand, session = number // 4 + 1, "LR"[number // 2 % 2], number % 2 + 1
        write(
            tmp_path / "db" / f"{person:03}-M/0{session}/{person:03}_{hand}_{session}_1.png", number
        )
    counts = check(configure(tmp_path / "db", layout="vera")).counts
    assert counts["persons"] == 3
    assert counts["left hands"] == counts["right hands"] == 3
    assert counts["identities"] == 6


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of the hands of three palms, and a picture without a hand among them."""
    folder = tmp_path_factory.mktemp("hands") / "db"
    synthesize(SynthesizeConfig(out=folder, hands=True, identities=3, sessions=2, shots=2, seed=8))
    noise = np.random.default_rng(0).integers(0, 256, (240, 320), np.uint8)
    Image.fromarray(noise).save(folder / "p002/s2/03.png")
    return folder


def test_palms_are_found_in_photographs_of_hands_and_the_others_are_shown(
    photographs: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheets" / "missing.png"
    result = check(configure(photographs, size_px=224, roi="auto", sheet=sheet, scratch=tmp_path))
    assert result.captures["hand"] + len(result.without_palm) == 13
    assert result.captures["hand"] >= 10  # of 12
    assert "no open hand" in result.without_palm["p002/s2/03.png"]
    assert result.unreadable == {}
    text = " ".join(str(result).split())
    assert f"{result.captures['hand']} found in photographs of hands" in text
    with Image.open(sheet) as image:
        assert image.width == 1280


def test_without_roi_auto_the_middle_is_taken(photographs: Path, tmp_path: Path) -> None:
    result = check(configure(photographs, scratch=tmp_path))
    assert (result.captures, result.without_palm) == ({"roi": 13}, {})


def test_a_store_without_a_finder_is_named(photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(NetMissing, match=f"{tmp_path / 'finder'} holds no version of finder"):
        check(configure(photographs, roi="auto", finder=tmp_path, scratch=tmp_path))


def test_the_sheet_is_a_png(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"--sheet .*missing\.jpg must end in \.png"):
        check(configure(folder, roi="auto", sheet=folder.parent / "missing.jpg"))
    with pytest.raises(ValueError, match="--sheet needs --roi auto"):
        check(configure(folder, sheet=folder.parent / "missing.png"))
