"""Merges are checked by the templates of the subject that is merged, camera by camera."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.gallery.errors import SubjectUnknown
from app.gallery.gallery import Gallery
from app.gallery.index.memory import GalleryIndex
from app.gallery.sql.moving import SqlRecords
from app.identifier import Identifier
from app.matching.calibration import Calibration, Case, Threshold
from app.matching.fusion import Fusion
from app.merging import PalmsUnlike
from tests.app.api.conftest import png, toy_ensemble
from tests.app.palm.toy_net import reader_of_crops

TOO_HIGH = Calibration((Case(False, 1, 1, 0.05, (Threshold(5.0, 1e-2), Threshold(6.0, 1e-4))),))


@pytest.fixture
def identifier(gallery: Gallery) -> Identifier:
    """Identifies by nets whose thresholds for the camera `door` nobody reaches."""
    nets = toy_ensemble()
    return Identifier(
        nets,
        gallery,
        reader_of_crops(),
        fpir_target=0.01,
        fmr_target=1e-3,
        quality_enroll=0,
        quality_probe=0,
        calibrated={"door": replace(nets, fusion=Fusion(nets.fusion.weights, TOO_HIGH))},
    )


def enroll(
    identifier: Identifier, subject_id: str, images: Sequence[bytes], camera: str = ""
) -> None:
    identifier.enroller.enroll(subject_id, None, None, images, add=True, force=True, camera=camera)


def test_the_templates_of_each_camera_are_compared_as_that_camera_s(
    identifier: Identifier, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll(identifier, "ada", [png(50)])
    enroll(identifier, "eve", [png(50, 1)], "door")
    with pytest.raises(PalmsUnlike, match=r"at least 5\.\d+ is needed"):
        identifier.enroller.merge("ada", "eve")
    enroll(identifier, "eve", [png(50, 2)], "gate")
    enroll(identifier, "eve", [png(50, 3)], "door")
    probes: dict[str, int] = {}
    verify = GalleryIndex.verify

    def noted(index: GalleryIndex, subject_id: str, maps: Any, **options: Any) -> Any:
        probes[options["camera"]] = len(maps[0])
        return verify(index, subject_id, maps, **options)

    monkeypatch.setattr(GalleryIndex, "verify", noted)
    identifier.enroller.merge("ada", "eve")
    assert probes == {"door": 2, "gate": 1}
    cameras = [one.camera for one in gallery.templates("ada")]
    assert cameras == [None, "door", "gate", "door"]


@pytest.mark.parametrize("replaced", ["ada", "eve"])
def test_whoever_is_enrolled_anew_after_the_check_is_not_merged(
    identifier: Identifier, gallery: Gallery, monkeypatch: pytest.MonkeyPatch, replaced: str
) -> None:
    enroll(identifier, "ada", [png(50)])
    enroll(identifier, "eve", [png(50, 1)])
    merge = SqlRecords.merge

    def replace_first(*given: Any) -> Any:
        gallery.delete(replaced)
        enroll(identifier, replaced, [png(60)])
        return merge(*given)

    monkeypatch.setattr(SqlRecords, "merge", replace_first)
    with pytest.raises(SubjectUnknown, match=replaced):
        identifier.enroller.merge("ada", "eve")
    assert [len(gallery.templates(one)) for one in ("ada", "eve")] == [1, 1]
