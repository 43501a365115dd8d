from pathlib import Path

import cv2
import numpy as np
import pytest

from training.commands.synthesize import SynthesizeConfig, synthesize
from training.synthetic.hands import JUDGE_HANDS, draw_hand
from training.synthetic.palms import draw_identity


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32)
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


def test_equal_seeds_write_equal_files_and_other_seeds_others(
    database: Path, tmp_path: Path
) -> None:
    one_palm = {"identities": 1, "sessions": 1, "shots": 2}
    verdict = synthesize(SynthesizeConfig(out=tmp_path / "same", **one_palm))
    assert str(verdict).startswith(f"{tmp_path / 'same'}: 2 images of 1 synthetic palms")
    synthesize(SynthesizeConfig(out=tmp_path / "other", seed=6, **one_palm))
    first, second = "p001/s1/01.png", "p001/s1/02.png"
    expected = (database / first).read_bytes()
    assert (tmp_path / "same" / first).read_bytes() == expected
    assert (tmp_path / "same" / second).read_bytes() == (database / second).read_bytes() != expected
    assert (tmp_path / "other" / first).read_bytes() != expected


def test_two_shots_of_one_palm_are_more_alike_than_two_palms(database: Path) -> None:
    identities = [f"p00{i}" for i in range(1, 5)]
    first, second = (
        [read(database / f"{p}/s1/{shot}.png") for p in identities] for shot in ("01", "02")
    )
    scores = np.array([[likeness(a, b) for b in second] for a in first])
    same = np.eye(4, dtype=bool)
    assert scores[same].mean() > scores[~same].mean() + 0.15


def test_existing_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("keep")
    with pytest.raises(FileExistsError, match="mine exists: remove it or choose"):
        synthesize(SynthesizeConfig(out=tmp_path / "mine"))
    assert (tmp_path / "mine" / "note").read_text() == "keep"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": 0}, "--shots must be at least 1, not 0"),
        ({"prefix": "../p"}, r"--prefix must be letters or digits, such as p, not '../p'"),
        ({"prefix": ""}, "--prefix must be letters or digits"),
    ],
)
def test_an_option_out_of_range_writes_nothing(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        synthesize(SynthesizeConfig(out=tmp_path / "x", **options))
    assert list(tmp_path.iterdir()) == []


def test_hands_are_photographed_whole_each_in_its_own_surroundings(tmp_path: Path) -> None:
    config = SynthesizeConfig(out=tmp_path / "db", hands=True, identities=2, sessions=2, shots=2)
    assert "8 images of 2 synthetic palms" in str(synthesize(config))
    files = sorted((tmp_path / "db").rglob("*.png"))
    assert len(files) == 8
    photographs = [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files]
    assert all(min(image.shape[:2]) >= 240 for image in photographs)
    assert len({image.tobytes() for image in photographs}) == 8
    expected, _ = draw_hand(1, 5, JUDGE_HANDS, draw_identity(1, 1))  # p002, s1, the second shot
    found = photographs[5] if expected.ndim == 2 else photographs[5][..., ::-1]
    np.testing.assert_array_equal(found, expected)
