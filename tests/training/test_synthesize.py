from pathlib import Path

import cv2
import numpy as np
import pytest

from training.anatomy import CANVAS_PX, MURRAY_EXPONENT, draw_palm, grow_vessels
from training.synthesize import SynthesisConfig, synthesize


def picture(database: Path, name: str) -> np.ndarray:
    image = cv2.imread(str(database / name), cv2.IMREAD_GRAYSCALE).astype(np.float32)
    return image - cv2.GaussianBlur(image, (0, 0), 16)


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Best normalised correlation of the middle over shifts of 16 px."""
    return float(cv2.matchTemplate(one, other[24:-24, 24:-24], cv2.TM_CCOEFF_NORMED).max())


def test_database_has_a_folder_per_identity_and_session(database: Path) -> None:
    files = sorted(str(p.relative_to(database)) for p in database.rglob("*.png"))
    assert len(files) == 4 * 3 * 3
    assert files[0] == "p001/s1/01.png"
    assert files[-1] == "p004/s3/03.png"
    assert cv2.imread(str(database / files[0]), cv2.IMREAD_UNCHANGED).shape == (224, 224)


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
        likeness(picture(database, f"{p}/s1/01.png"), picture(database, f"{p}/s1/02.png"))
        for p in identities
    ]
    other = [
        likeness(picture(database, f"{p}/s1/01.png"), picture(database, f"{q}/s1/02.png"))
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
    assert palm[:4].min() >= 0
    assert palm[:4].max() <= 1
    assert (palm[:4].max(axis=(1, 2)) > 0.9).all()
    assert abs(palm[4].mean()) < 0.2


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
