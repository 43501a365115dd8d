"""Images of several cameras: a sum and a mean map for each."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import pytest

from app.gallery.gallery import Gallery
from app.gallery.index.comparison import Found
from app.gallery.index.memory import GalleryIndex
from app.master_key import MasterKeys
from app.matching.cohort import compare_cohort
from app.matching.impostors import Impostors
from app.matching.maps import Floats, Signs, VeinMaps, join_maps
from app.matching.mean_map import MIN_SUBJECTS, MapSum
from app.matching.similarity import probe_codes, similarities, template_codes
from app.wiring import GALLERIES
from tests.app.conftest import execute
from tests.app.gallery.conftest import (
    ALEXNET,
    BOTH_STORES,
    VGG16,
    ToyNet,
    enroll,
    opened,
    vein_maps,
)
from tests.app.gallery.test_mean_map import assert_equal


def enroll_by(gallery: Gallery, subject_id: str, maps: VeinMaps, camera: str) -> None:
    gallery.enroll(subject_id, None, None, {VGG16: maps}, add=True, camera=camera)


def sums_of(gallery: Gallery) -> dict[str, MapSum]:
    return {camera: sums[0] for camera, sums in gallery.sums_by_camera([VGG16]).items()}


@BOTH_STORES
def test_the_sum_of_each_camera_follows_enrolments_and_erasures(gallery: Gallery) -> None:
    enroll_by(gallery, "ada", vein_maps(2, 1), "door")
    enroll_by(gallery, "ada", vein_maps(1, 2), "gate")
    enroll_by(gallery, "ada", vein_maps(1, 3), "door")
    enroll_by(gallery, "eve", vein_maps(2, 4), "door")
    enroll_by(gallery, "eve", vein_maps(1, 5), "")
    adas = MapSum.of(join_maps([vein_maps(2, 1), vein_maps(1, 3)]))
    found = sums_of(gallery)
    assert list(found) == ["", "door", "gate"]
    assert_equal(found[""], MapSum.of(vein_maps(1, 5)))
    assert_equal(found["door"], adas + MapSum.of(vein_maps(2, 4)))
    assert_equal(found["gate"], MapSum.of(vein_maps(1, 2)))

    numbers = [one.number for one in gallery.templates("ada")]
    gallery.remove_template("ada", numbers[0])
    second = join_maps([vein_maps(2, 1)[1:], vein_maps(1, 3)])
    assert_equal(sums_of(gallery)["door"], MapSum.of(second) + MapSum.of(vein_maps(2, 4)))
    gallery.remove_template("ada", numbers[2])  # her only image at the gate
    assert list(sums_of(gallery)) == ["", "door"]

    gallery.delete("ada")
    assert_equal(sums_of(gallery)["door"], MapSum.of(vein_maps(2, 4)))
    gallery.delete("eve")
    assert [one.subjects for one in sums_of(gallery).values()] == [0]


@BOTH_STORES
def test_templates_and_changes_name_the_camera(gallery: Gallery) -> None:
    enroll_by(gallery, "ada", vein_maps(1, 1), "door")
    enroll_by(gallery, "ada", vein_maps(1, 2), "")
    assert [one.camera for one in gallery.templates("ada")] == ["door", None]
    gallery.remove_template("ada", gallery.templates("ada")[1].number)
    assert [one.camera for one in gallery.templates("ada")] == ["door"]


@pytest.mark.parametrize("change", ["delete", "add"])
def test_only_the_sums_of_the_cameras_of_a_damaged_map_are_computed_anew(
    gallery: Gallery, path: Path, change: str
) -> None:
    for i in range(3):
        enroll_by(gallery, f"s{i}", vein_maps(2, i), "door")
        enroll_by(gallery, f"s{i}", vein_maps(2, 10 + i), "gate")
    execute(path, "UPDATE maps SET map = x'00' WHERE map_id = 2")  # of s0, by the door
    if change == "delete":
        gallery.delete("s0")
    else:
        enroll_by(gallery, "s0", vein_maps(1, 9), "door")
    found = sums_of(gallery)
    assert_equal(found["door"], reduce(add, [MapSum.of(vein_maps(2, i)) for i in (1, 2)]))
    left = (1, 2) if change == "delete" else (0, 1, 2)
    assert_equal(found["gate"], reduce(add, [MapSum.of(vein_maps(2, 10 + i)) for i in left]))


@BOTH_STORES
def test_a_sum_that_was_moved_to_another_camera_is_noticed(gallery: Gallery) -> None:
    enroll_by(gallery, "ada", vein_maps(1, 1), "door")
    engine, _ = opened(gallery)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE map_sums SET camera = 'gate'")
    with pytest.raises(Exception, match=f"the sum of the maps of {VGG16}"):
        gallery.sums_by_camera([VGG16])


@BOTH_STORES
def test_the_sums_of_all_cameras_survive_a_rotation_of_the_master_key(
    url: str, store: str, tmp_path: Path
) -> None:
    old, new = b"\x01" * 32, b"\x02" * 32
    file = tmp_path / "master.key"
    file.write_text(old.hex())
    masters = MasterKeys(None, file)
    gallery = GALLERIES[store](url, masters)
    enroll_by(gallery, "ada", vein_maps(1, 1), "door")
    enroll_by(gallery, "ada", vein_maps(1, 2), "")
    masters.replace([new, old])
    gallery.rotate_master_key(new)
    gallery.close()
    masters.replace([new])
    rotated = GALLERIES[store](url, masters)
    found = sums_of(rotated)
    assert_equal(found["door"], MapSum.of(vein_maps(1, 1)))
    assert_equal(found[""], MapSum.of(vein_maps(1, 2)))
    rotated.close()


@BOTH_STORES
def test_each_camera_has_its_own_site_report(gallery: Gallery) -> None:
    gallery.write_site_report("1")
    gallery.write_site_report("2", camera="door")
    gallery.write_site_report("3", camera="door")
    assert gallery.site_reports() == {"": "1", "door": "3"}


NETS = (ToyNet(VGG16), ToyNet(ALEXNET, trained_seed=2000))


def pattern(camera: str, of: VeinMaps) -> Floats:
    """What a camera adds to every map; the unnamed one nothing."""
    shape = of.values.shape[1:]
    seed = sum(camera.encode())
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) * bool(camera)


def seen_by(camera: str, seed: int, noise: int = 0) -> list[VeinMaps]:
    """One image of a palm by a camera, as each net maps it."""
    found: list[VeinMaps] = []
    for net in NETS:
        own = vein_maps(1, seed, net.format)
        other = vein_maps(1, 7000 + noise, net.format)
        maps = own.deviations + 2 * pattern(camera, own) + 0.3 * bool(noise) * other.deviations
        found.append(VeinMaps.of(maps.astype(np.float32), own.usable.astype(np.float32)))
    return found


def enroll_seen(gallery: Gallery, camera: str, seeds: Sequence[int]) -> None:
    for seed in seeds:
        templates = dict(zip((VGG16, ALEXNET), seen_by(camera, seed), strict=True))
        gallery.enroll(f"s{seed}", None, None, templates, add=True, camera=camera)


def expected_score(probe: VeinMaps, of_probe: Floats, template: VeinMaps, its: Floats) -> float:
    """Compares one image with one template, each minus its own mean map."""
    windows = probe_codes(Signs.of(probe, of_probe))
    codes = template_codes(Signs.of(template, its))
    return float(similarities(windows, codes, template.shape)[0])


def best(found: Found) -> str:
    return found.subjects[int(np.argmax(sum(found.by_net)))].subject_id


@pytest.fixture
def two_cameras(gallery: Gallery) -> Gallery:
    """Twenty subjects enrolled by each of two cameras."""
    enroll_seen(gallery, "door", range(MIN_SUBJECTS))
    enroll_seen(gallery, "gate", range(MIN_SUBJECTS, 2 * MIN_SUBJECTS))
    return gallery


def rescaled(score: float, within: Impostors, across: Impostors) -> float:
    """A score across two cameras, in the scale of the probe's."""
    return within.mean + within.deviation * (score - across.mean) / across.deviation


def impostors_across(sums: Mapping[str, Sequence[MapSum]], net: int) -> Impostors:
    """Compares each subject of one camera with each of the other, one by one.

    Nobody's own share is in the mean maps; ten parts of twenty subjects are pairs.
    """
    found: list[float] = []
    for i in range(20):
        for j in range(20, 40):
            maps = [seen_by("door", i)[net], seen_by("gate", j)[net]]
            means: list[Floats] = []
            for camera, seed in (("door", i), ("gate", j)):
                first = seed - seed % 2
                pair = [MapSum.of(seen_by(camera, one)[net]) for one in (first, first + 1)]
                mean = (sums[camera][net] - pair[0] - pair[1]).mean(least=2)
                assert mean is not None
                means.append(mean)
            found.append(expected_score(maps[0], means[0], maps[1], means[1]))
    return Impostors.of_values(np.array(found, np.float64))


def test_maps_are_compared_minus_the_mean_map_of_their_own_camera(two_cameras: Gallery) -> None:
    index = GalleryIndex(two_cameras, NETS)
    sums = two_cameras.sums_by_camera([VGG16, ALEXNET])
    means = {camera: [one.mean() for one in own] for camera, own in sums.items()}
    across = [impostors_across(sums, net) for net in range(2)]
    for seed, enrolled, camera in ((3, "door", "gate"), (25, "gate", "door"), (5, "door", "door")):
        probes = seen_by(camera, seed, noise=1)
        found = index.verify(f"s{seed}", probes, camera=camera)
        assert found is not None
        templates = seen_by(enrolled, seed)
        for net, (score,) in enumerate(found.by_net):
            own, its = means[camera][net], means[enrolled][net]
            assert own is not None
            assert its is not None
            wanted = expected_score(probes[net], own, templates[net], its)
            if camera != enrolled:
                within = found.impostors[net]
                assert within is not None
                wanted = rescaled(wanted, within, across[net])
            assert score == pytest.approx(wanted, abs=1e-5)
        assert best(index.search(probes, camera=camera)) == f"s{seed}"


def test_the_impostors_are_those_before_the_probe_s_camera(two_cameras: Gallery) -> None:
    index = GalleryIndex(two_cameras, NETS)
    sums = two_cameras.sums_by_camera([VGG16, ALEXNET])
    for camera, seeds in (("door", range(20)), ("gate", range(20, 40))):
        used = index.search(seen_by(camera, 1), camera=camera).impostors[0]
        cohort = compare_cohort([seen_by(camera, i)[0] for i in seeds], sums[camera][0])
        wanted = Impostors.of(cohort)
        assert used is not None
        assert (used.mean, used.deviation) == pytest.approx((wanted.mean, wanted.deviation))


def test_a_camera_with_few_subjects_uses_the_mean_map_of_the_one_with_most(
    two_cameras: Gallery,
) -> None:
    enroll_seen(two_cameras, "gate", [40])
    enroll_seen(two_cameras, "roof", range(50, 50 + MIN_SUBJECTS - 1))
    index = GalleryIndex(two_cameras, NETS)
    index.refresh()
    assert list(index.mean_map.cameras) == ["door", "gate"]
    probes = seen_by("roof", 50, noise=1)
    for camera in ("roof", "never heard of", ""):
        found = index.search(probes, camera=camera)
        most = index.search(probes, camera="gate")
        np.testing.assert_array_equal(found.by_net, most.by_net)
        assert found.fused_impostors == most.fused_impostors

    enroll_seen(two_cameras, "roof", [80])  # the twentieth
    index.refresh()
    index.settle()
    assert list(index.mean_map.cameras) == ["door", "gate", "roof"]
    for seed in range(50, 69):
        two_cameras.delete(f"s{seed}")
    index.refresh()
    index.settle()
    assert list(index.mean_map.cameras) == ["door", "gate"]


def test_one_name_for_all_images_gives_the_scores_of_images_without_a_name(
    gallery: Gallery,
) -> None:
    enroll_seen(gallery, "door", range(24))
    named = GalleryIndex(gallery, NETS)
    probes = seen_by("door", 3, noise=1)
    found = named.search(probes, camera="door")
    for seed in range(24):
        gallery.delete(f"s{seed}")
        templates = dict(zip((VGG16, ALEXNET), seen_by("door", seed), strict=True))
        gallery.enroll(f"s{seed}", None, None, templates, add=False)
    unnamed = GalleryIndex(gallery, NETS).search(probes)
    np.testing.assert_array_equal(found.by_net, unnamed.by_net)
    assert found.fused_impostors == unnamed.fused_impostors


def test_an_unnamed_gallery_is_unchanged_by_the_camera_of_a_probe(gallery: Gallery) -> None:
    for i in range(21):
        enroll(gallery, f"s{i}", seed=i)
    index = GalleryIndex(gallery, NETS)
    probes = [vein_maps(1, 99), vein_maps(1, 99, ALEXNET)]
    plain, named = index.search(probes), index.search(probes, camera="door")
    np.testing.assert_array_equal(plain.by_net, named.by_net)
    assert plain.fused_impostors == named.fused_impostors
    assert (index.mean_map.subjects, index.mean_map.revision, index.mean_map.cameras) == (21, 1, {})
