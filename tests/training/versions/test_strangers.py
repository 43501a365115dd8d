"""Which images of strangers calibrate, how many are needed, and who is no stranger."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import write_strangers
from tests.training.toy_palms import palms_of
from training.database.palms import Palms, ReadingOptions, load_palms
from training.database.split import Split, split_palms
from training.versions.strangers import (
    Strangers,
    comparisons,
    fmr_needed,
    load_strangers,
    require_enough,
    strangers_needed,
)

PLACE = Path("some/folder")


@pytest.fixture(scope="module")
def split(database: Path) -> Split:
    return split_palms(load_palms(database, 32))


def test_templates_are_of_the_first_session_and_probes_of_later_ones(
    make_palms: Callable[..., Palms],
) -> None:
    found = Strangers.choose(make_palms(3, sessions=3, shots=8), PLACE)
    assert len(found) == 3
    assert found.templates.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert set(found.templates.sessions.tolist()) == {0}
    assert found.templates.shots.tolist() == [*range(6)] * 3
    assert found.probes.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert set(found.probes.sessions.tolist()) == {1}
    assert (found.template_counts.tolist(), found.probe_counts.tolist()) == ([6] * 3, [2] * 3)


def test_an_identity_s_own_first_session_counts_and_one_session_is_not_enough() -> None:
    labels = [0, 0, 1, 1, 1, 2, 2]
    sessions = np.array([0, 1, 1, 2, 2, 0, 0], np.int32)
    palms = palms_of(np.zeros((7, 1, 1)), labels, sessions=sessions)
    found = Strangers.choose(palms, PLACE)
    assert found.templates.identities == found.probes.identities == ("p000", "p001")
    assert found.templates.rows.tolist() == [0, 2]
    assert found.probes.rows.tolist() == [1, 3, 4]
    assert found.with_images(1, 2).tolist() == [False, True]


def test_strangers_of_one_session_are_refused(make_palms: Callable[..., Palms]) -> None:
    for sessions in (0, 1):
        with pytest.raises(ValueError, match="some/folder has no identity with images of two"):
            Strangers.choose(make_palms(3, sessions=sessions, shots=4), PLACE)


@pytest.mark.parametrize(
    ("identities", "fmr"), [(1, 1e-2), (4, 1e-3), (10, 1e-3), (160, 1e-5), (20_000, 5e-7)]
)
def test_the_fmr_needed_falls_with_the_identities(identities: int, fmr: float) -> None:
    assert fmr_needed(identities) == fmr


def test_more_identities_than_can_be_calibrated_are_refused() -> None:
    with pytest.raises(ValueError, match=r"30,000 identities need an FMR of 3\.3e-07"):
        fmr_needed(30_000)


@pytest.mark.parametrize("needed", [1, 2, 3, 3000, 6_000_000])
def test_the_number_of_strangers_is_the_least_that_suffices(needed: int) -> None:
    found = strangers_needed(needed)
    assert comparisons(found) >= needed > comparisons(found - 1)


def test_too_few_strangers_are_refused_with_the_number_needed(
    make_palms: Callable[..., Palms],
) -> None:
    many, few = (
        Strangers.choose(make_palms(count, sessions=2, shots=1), PLACE / str(count))
        for count in (56, 55)
    )
    assert require_enough([many], 4) == 1e-3
    assert require_enough([few, many], 4) == 1e-3  # one of the folders suffices
    message = r"folder/55: 55 strangers .* 2,970 comparisons. 4 identities need an FMR of 1e-03, "
    with pytest.raises(ValueError, match=message + r"which takes 3,000 .*: give 56 or more"):
        require_enough([few], 4)
    fewer = Strangers.choose(make_palms(11, sessions=2, shots=1), PLACE / "11")
    with pytest.raises(ValueError, match=r"folder/11: 11 strangers .* too few .*: give 12 or more"):
        require_enough([many, fewer], 4)


def reading(folder: Path) -> ReadingOptions:
    return ReadingOptions(data=folder / "not read", size_px=32, scratch=folder)


def test_every_folder_is_read(split: Split, tmp_path: Path) -> None:
    folders = [write_strangers(tmp_path / name, 2, seed=i) for i, name in enumerate("ab")]
    found = load_strangers(folders, split, reading(tmp_path))
    assert [len(palms) for palms in found] == [8, 8]
    assert found[0].sha256 != found[1].sha256


def test_the_database_s_own_people_are_no_strangers(
    split: Split, database: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"is the same image as .* of --data"):
        load_strangers([database], split, reading(tmp_path))


def test_one_copied_image_is_found_under_another_name(
    split: Split, database: Path, tmp_path: Path
) -> None:
    folder = write_strangers(tmp_path / "strangers", 2)
    copied = folder / "n002/s2/99.png"
    copied.write_bytes((database / "p003/s2/02.png").read_bytes())
    message = "n002/s2/99.png is the same image as p003/s2/02.png of --data"
    with pytest.raises(ValueError, match=message):
        load_strangers([folder], split, reading(tmp_path))


def test_naming_no_folder_is_refused(split: Split, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--strangers must name one or more folders"):
        load_strangers([], split, reading(tmp_path))
