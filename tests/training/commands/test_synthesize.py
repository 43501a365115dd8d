from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.commands.contact_sheet import ContactSheetConfig, draw_contact_sheet
from training.commands.synthesize import SynthesisConfig, photograph, synthesize
from training.synthetic.anatomy import draw_palm
from training.synthetic.canvas import CANVAS_PX, PX_PER_MM
from training.synthetic.capture import (
    PICTURE_PX,
    STYLES,
    TRAINING,
    draw_camera,
    draw_session,
    shoot,
)
from training.synthetic.vessels import DEPTH_MM, MURRAY_EXPONENT, grow_vessels


def image(database: Path, name: str) -> np.ndarray:
    image = cv2.imread(str(database / name), cv2.IMREAD_GRAYSCALE).astype(np.float32)
    return image - cv2.GaussianBlur(image, (0, 0), 9)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Best normalised correlation of the middle over shifts of 12 px."""
    return float(cv2.matchTemplate(one, other[12:-12, 12:-12], cv2.TM_CCOEFF_NORMED).max())


def test_database_has_a_folder_per_identity_and_session(database: Path) -> None:
    files = sorted(str(p.relative_to(database)) for p in database.rglob("*.png"))
    assert len(files) == 4 * 3 * 3
    assert files[0] == "p001/s1/01.png"
    assert files[-1] == "p004/s3/03.png"
    assert cv2.imread(str(database / files[0]), cv2.IMREAD_UNCHANGED).shape == (128, 128)


def test_equal_seeds_write_equal_files_and_other_seeds_others(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        synthesize(SynthesisConfig(tmp_path / name, identities=1, sessions=1, shots=2, seed=seed))
    a, b, c = ((tmp_path / n / "p001/s1/02.png").read_bytes() for n in "abc")
    assert a == b
    assert a != c
    assert a != (tmp_path / "a/p001/s1/01.png").read_bytes()


def test_two_shots_of_one_palm_are_more_alike_than_two_palms(database: Path) -> None:
    identities = [f"p00{i}" for i in range(1, 5)]
    same = [
        likeness(image(database, f"{p}/s1/01.png"), image(database, f"{p}/s1/02.png"))
        for p in identities
    ]
    other = [
        likeness(image(database, f"{p}/s1/01.png"), image(database, f"{q}/s1/02.png"))
        for p in identities
        for q in identities
        if p != q
    ]
    assert np.mean(same) > np.mean(other) + 0.15


def test_vessels_obey_murrays_law_and_hang_together() -> None:
    tree = grow_vessels(np.random.default_rng(3))
    assert (tree.parents < np.arange(len(tree.parents))).all()
    assert (tree.parents == -1).sum() == 2
    cubes = tree.radii.astype(np.float64) ** MURRAY_EXPONENT
    for node in range(len(tree.parents)):
        children = np.flatnonzero(tree.parents == node)
        if len(children):
            assert cubes[node] == pytest.approx(cubes[children].sum(), rel=1e-4)


def test_layers_of_a_palm_are_in_range() -> None:
    palm = draw_palm(np.random.default_rng(1))
    assert palm.shape == (5, CANVAS_PX, CANVAS_PX)
    assert palm.dtype == np.uint8
    assert (palm[:4].max(axis=(1, 2)) == 255).all()
    assert (np.median(palm[:4], axis=(1, 2)) < 60).all()
    assert abs(palm[4].mean() - 128) < 10


def test_vessels_lie_within_the_skin_and_deep_ones_are_the_more_blurred() -> None:
    depth = grow_vessels(np.random.default_rng(3)).points[:, 2] / PX_PER_MM
    assert 0 < depth.min() < depth.max() < DEPTH_MM[1] * 1.5
    for seed in range(3):
        deep, shallow = draw_palm(np.random.default_rng(seed))[:2].astype(np.float32)
        steepness = [np.percentile(np.abs(np.diff(layer)), 99.5) for layer in (deep, shallow)]
        assert steepness[0] < steepness[1]


def test_no_seed_draws_the_palm_of_another() -> None:
    """Two palms alike would have the same nodes."""
    trees = {grow_vessels(np.random.default_rng([7, i, 0, 0])).points.tobytes() for i in range(300)}
    assert len(trees) == 300


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_repeatable_and_its_images_differ_from_visit_to_visit(name: str) -> None:
    config = SynthesisConfig(Path("unused"), sessions=2, shots=2, style=name)
    first, again = photograph(config, 3), photograph(config, 3)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0][0], first[1][0])
    assert not np.array_equal(first[0][0], first[0][1])


def test_held_out_style_draws_what_training_never_does() -> None:
    generators = [np.random.default_rng(i) for i in range(60)]
    sessions = {
        name: [draw_session(rng, style, draw_camera(rng, style)) for rng in generators]
        for name, style in STYLES.items()
    }
    assert all(s.pattern is None and s.inverted is None for s in sessions["training"])
    assert all(s.shades[2:4].any() for s in sessions["training"])
    assert any(s.pattern is not None for s in sessions["held-out"])
    assert any(s.inverted is not None for s in sessions["held-out"])
    assert any(not s.shades[2:4].any() for s in sessions["held-out"])


def test_a_pattern_below_black_is_no_error() -> None:
    style = STYLES["held-out"]
    rng = np.random.default_rng(0)
    session = draw_session(rng, style, draw_camera(rng, style))
    dark = replace(session, pattern=np.full((PICTURE_PX, PICTURE_PX), -2, np.float32))
    with np.errstate(invalid="raise"):
        image = shoot(draw_palm(rng), dark, rng, style)
    assert image.max() < 20


def test_visits_to_one_camera_are_more_alike_than_cameras() -> None:
    rng = np.random.default_rng(0)
    cameras = np.array([draw_camera(rng, TRAINING) for _ in range(200)])
    visits = np.array([draw_session(rng, TRAINING, cameras[0]).shades for _ in range(200)])
    spread = [np.abs(np.log(np.abs(shades))).std(axis=0) for shades in (visits, cameras)]
    assert (spread[0] < spread[1]).all()


def test_contact_sheet_shows_what_synthesize_writes(tmp_path: Path) -> None:
    config = ContactSheetConfig(tmp_path / "sheet.png", identities=2, sessions=2, shots=1, seed=5)
    sheet = cv2.imread(str(draw_contact_sheet(config)), cv2.IMREAD_GRAYSCALE)
    synthesize(SynthesisConfig(tmp_path / "palms", identities=2, sessions=2, shots=1, seed=5))
    for name in ("p001/s1/01.png", "p002/s2/01.png"):
        one = cv2.imread(str(tmp_path / "palms" / name), cv2.IMREAD_GRAYSCALE)
        assert cv2.matchTemplate(sheet, one, cv2.TM_SQDIFF).min() < 1e4  # its rounding


def test_contact_sheet_is_a_png_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sheet.jpg must end in .png"):
        draw_contact_sheet(ContactSheetConfig(tmp_path / "sheet.jpg"))


def test_existing_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("keep")
    with pytest.raises(FileExistsError, match="mine exists: remove it or choose"):
        synthesize(SynthesisConfig(tmp_path / "mine"))
    assert (tmp_path / "mine" / "note").read_text() == "keep"


def test_a_count_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        synthesize(SynthesisConfig(tmp_path / "x", shots=0))
    assert not (tmp_path / "x").exists()
