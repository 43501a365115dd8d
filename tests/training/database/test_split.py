from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.toy_palms import make_palms
from training.database.palms import DataOptions, Palms
from training.database.split import Split, load_split, split_palms


def assert_partition(split: Split, palms: Palms) -> None:
    """Every image is in exactly one part, under its own identity."""
    rows = np.concatenate([part.rows for part in split.parts.values()])
    np.testing.assert_array_equal(np.sort(rows), palms.rows)
    for part in split.parts.values():
        at = np.searchsorted(palms.rows, part.rows)
        np.testing.assert_array_equal(part.images(), palms.images(at))
        names = [part.identities[label] for label in part.labels]
        assert names == [palms.identities[label] for label in palms.labels[at]]
        assert part.files == tuple(palms.files[i] for i in at)


def without(palms: Palms, label: int, sessions: tuple[int, ...]) -> Palms:
    return palms.select(~((palms.labels == label) & np.isin(palms.sessions, sessions)))


def test_last_session_is_the_test_and_the_one_before_it_the_validation() -> None:
    palms = make_palms(4, sessions=5, shots=3)
    split = split_palms(palms)
    assert (split.kind, split.note, split.seed) == ("session", "", None)
    assert [set(part.sessions.tolist()) for part in split.parts.values()] == [{0, 1, 2}, {3}, {4}]
    assert_partition(split, palms)


@pytest.mark.parametrize(("shots", "held"), [(2, 1), (5, 1), (6, 1), (10, 2)])
def test_of_two_sessions_the_last_fifth_of_the_first_is_the_validation(
    shots: int, held: int
) -> None:
    palms = make_palms(3, sessions=2, shots=shots)
    split = split_palms(palms)
    assert [set(part.sessions.tolist()) for part in split.parts.values()] == [{0}, {0}, {1}]
    np.testing.assert_array_equal(np.bincount(split.validation.labels), [held] * 3)
    assert split.validation.shots.min() > split.train.shots.max()
    assert "optimistic" in split.note
    assert_partition(split, palms)


def test_bands_of_one_moment_are_not_parted() -> None:
    split = split_palms(make_palms(3, sessions=2, shots=3, bands=2))
    assert set(split.train.shots.tolist()) == {0, 1}
    assert set(split.validation.shots.tolist()) == {2}


def test_both_hands_of_a_person_are_validated() -> None:
    """Also where one hand has five shots and the other ten: a fifth of each."""
    palms = make_palms(3, sessions=2, shots=15)
    right = palms.shots >= 5
    palms = replace(palms, hands=right.astype(np.int8), shots=palms.shots - 5 * right)
    split = split_palms(palms)
    assert np.bincount(split.validation.hands).tolist() == [3, 6]
    assert np.bincount(split.train.hands).tolist() == [12, 24]


def test_single_shots_of_two_sessions_are_validated_on_the_second() -> None:
    """FYO: one image of each palm in each session."""
    palms = make_palms(320, sessions=2, shots=1)
    split = split_palms(palms, seed=3)
    assert [len(part) for part in split.parts.values()] == [320, 64, 256]
    assert set(split.train.sessions.tolist()) == {0}
    assert not set(split.validation.labels.tolist()) & set(split.test.labels.tolist())
    assert "second session is the validation for 64 identities" in split.note
    assert split.seed == 3
    assert_partition(split, palms)


def test_identity_without_the_training_session_is_counted_and_named() -> None:
    palms = without(make_palms(4, sessions=3, shots=2), 1, (0,))
    with pytest.raises(ValueError, match=r"1 identity \(p001\) has no training image"):
        split_palms(palms)


def test_identities_without_the_validation_session_are_counted_and_named() -> None:
    palms = without(without(make_palms(4, sessions=3, shots=2), 1, (1,)), 3, (1,))
    with pytest.raises(ValueError, match=r"2 identities \(p001, p003\) have no validation image"):
        split_palms(palms)


def test_identity_that_missed_the_last_session_stays_and_is_named() -> None:
    palms = without(make_palms(4, sessions=3, shots=2), 1, (2,))
    split = split_palms(palms)
    assert set(split.train.labels.tolist()) == {0, 1, 2, 3}
    assert split.test.identities == palms.identities
    assert split.note.startswith("1 identity (p001) has no test image")
    assert_partition(split, palms)


@pytest.mark.parametrize("sessions", [0, 1])
def test_a_session_or_none_cannot_be_split_by_session(sessions: int) -> None:
    palms = make_palms(4, sessions=sessions, shots=20)
    with pytest.raises(ValueError, match=f"at least 2 sessions, and this database has {sessions}"):
        split_palms(palms, by="session")
    assert split_palms(palms).kind == "seed"


def test_the_students_counts() -> None:
    palms = make_palms(160, sessions=0, shots=40)
    split = split_palms(palms)
    assert [len(part) for part in split.parts.values()] == [4096, 1280, 1024]
    assert (split.kind, split.seed) == ("seed", 1)
    assert_partition(split, palms)


def test_equal_seeds_give_equal_splits() -> None:
    palms = make_palms(8, sessions=3, shots=10)
    for by in ("seed", "identity"):
        one, again, other = (split_palms(palms, by=by, seed=seed) for seed in (5, 5, 6))
        assert one.test.files == again.test.files
        assert one.test.files != other.test.files


@pytest.mark.parametrize("count", range(4, 40))
def test_every_part_of_a_split_by_seed_has_its_share(count: int) -> None:
    split = split_palms(make_palms(1, sessions=0, shots=count), by="seed")
    assert sum(map(len, split.parts.values())) == count
    assert len(split.validation) == pytest.approx(count * 0.20, abs=0.5)
    assert len(split.test) == pytest.approx(count * 0.16, abs=0.7)
    assert len(split.test) > 0


def test_three_images_are_too_few() -> None:
    with pytest.raises(ValueError, match="3 images are too few for a split by seed"):
        split_palms(make_palms(3, sessions=0, shots=1))


def test_identity_that_the_sampling_leaves_without_training_images_is_named() -> None:
    with pytest.raises(ValueError, match=r"identities \(p0.*, \.\.\.\) have no training image"):
        split_palms(make_palms(50, sessions=0, shots=1))


def test_identities_of_an_open_set_are_strangers_to_each_other() -> None:
    palms = make_palms(10, sessions=2, shots=3)
    split = split_palms(palms, by="identity")
    assert [len(part.identities) for part in split.parts.values()] == [6, 2, 2]
    names = [name for part in split.parts.values() for name in part.identities]
    assert sorted(names) == list(palms.identities)
    for part in split.parts.values():
        assert set(part.labels.tolist()) == set(range(len(part.identities)))
    assert_partition(split, palms)


def test_six_identities_are_the_least_of_an_open_set() -> None:
    split = split_palms(make_palms(6, sessions=0, shots=1), by="identity")
    assert [len(part.identities) for part in split.parts.values()] == [2, 2, 2]
    with pytest.raises(ValueError, match="5 identities are too few for a split by identity"):
        split_palms(make_palms(5, sessions=0, shots=9), by="identity")


def test_no_part_shares_pixels_by_copying_them() -> None:
    palms = make_palms(10, sessions=3, shots=3)
    for by in ("session", "seed", "identity"):
        assert all(part.pixels is palms.pixels for part in split_palms(palms, by=by).parts.values())


def test_unknown_split_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--split random is unknown: choose one of auto, session"):
        load_split(DataOptions(data=tmp_path / "nowhere", split="random"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="--split-seed -1 is negative"):
        load_split(DataOptions(data=tmp_path / "nowhere", split_seed=-1))
