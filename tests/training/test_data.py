from pathlib import Path

import numpy as np
import pytest

from app.palm.decode import UnreadableImage
from training.augmentation import augment
from training.data import Batches, load_palms, split_by_session, split_strangers


def test_labels_and_sessions_follow_the_folders(database: Path) -> None:
    palms = load_palms(database)
    assert palms.images.shape == (36, 224, 224)
    assert palms.identities == ("p001", "p002", "p003", "p004")
    for file, label, session in zip(palms.files, palms.labels, palms.sessions, strict=True):
        identity, visit, _ = Path(file).parts
        assert palms.identities[label] == identity
        assert palms.session_names[session] == visit


def test_split_shares_no_session_and_loses_no_picture(database: Path) -> None:
    palms = load_palms(database)
    split = split_by_session(palms)
    parts = (split.train, split.validation, split.test)
    sessions = [set(part.sessions.tolist()) for part in parts]
    assert sessions == [{0}, {1}, {2}]
    assert sorted(f for part in parts for f in part.files) == sorted(palms.files)
    assert all(set(part.labels.tolist()) == {0, 1, 2, 3} for part in parts)


def test_two_sessions_are_too_few(database: Path) -> None:
    palms = load_palms(database)
    palms = type(palms)(
        palms.images, palms.labels, palms.sessions, palms.identities, ("s1", "s2"), palms.files, ""
    )
    with pytest.raises(ValueError, match=r"at least 3 sessions, and this database has 2 \(s1, s2"):
        split_by_session(palms)


def test_strangers_are_halved_by_identity(database: Path) -> None:
    validation, test = split_strangers(load_palms(database))
    assert set(validation.labels.tolist()) == {0, 1}
    assert set(test.labels.tolist()) == {2, 3}


def test_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no pictures at <identity>/<session>/<picture>"):
        load_palms(tmp_path)


def test_damaged_picture_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "p1" / "s1" / "01.png"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"\x89PNG broken")
    with pytest.raises(UnreadableImage) as caught:
        load_palms(tmp_path)
    assert str(broken) in "".join(caught.value.__notes__)


def test_augmentation_reaches_the_batches_and_differs_by_epoch(database: Path) -> None:
    train = split_by_session(load_palms(database)).train
    batches = Batches(train, batch_size=4, seed=1)
    images, labels = batches[0]
    again, _ = Batches(train, batch_size=4, seed=1)[0]
    np.testing.assert_array_equal(images, again)
    originals = {picture.tobytes() for picture in train.images}
    assert all(picture[..., 0].tobytes() not in originals for picture in images)
    assert images.shape == (4, 224, 224, 3)
    assert len(labels) == 4
    batches.on_epoch_end()
    assert not np.array_equal(batches[0][0], images)


def test_every_epoch_sees_every_picture_once(database: Path) -> None:
    train = split_by_session(load_palms(database)).train
    batches = Batches(train, batch_size=3, seed=2)
    labels = np.concatenate([batches[i][1] for i in range(len(batches))])
    np.testing.assert_array_equal(np.bincount(labels), [3, 3, 3, 3])


def test_augmented_palm_is_not_mirrored() -> None:
    """A mark at the left stays at the left: a flip would make it another palm."""
    image = np.full((224, 224), 200, np.uint8)
    image[80:140, 20:60] = 0
    for seed in range(30):
        changed = augment(image, np.random.default_rng(seed)).astype(float)
        dark = changed < changed.max() / 4
        assert dark[:, :112].sum() > dark[:, 112:].sum()
