"""Comparisons of maps: with the mean map, without it, and of strangers outside it."""

from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from numpy.typing import NDArray

from app.matching.cohort import compare_cohort
from app.matching.fusion import Fusion
from app.matching.impostors import Impostors
from app.matching.maps import Floats, Signs, VeinMaps
from app.matching.mean_map import MIN_SUBJECTS, MapSum
from app.matching.similarity import SHIFT, probe_codes, similarities, template_codes
from tests.training.toy_trials import make_calibration, make_trials
from training.benchmark import map_similarities
from training.benchmark.comparisons import Trials
from training.benchmark.map_similarities import (
    ENROLLED,
    Compared,
    MapSimilarities,
    MeanSplit,
    compare_embeddings,
    compare_net_maps,
    fuse_maps,
    split_identities,
)

SIDE, CHANNELS = 8, 3


def make_maps(count: int, seed: int = 1) -> VeinMaps:
    """Random maps that share a part, as all palms do before one camera."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(SIDE, SIDE, CHANNELS))
    values = rng.normal(size=(count, SIDE, SIDE, CHANNELS)) + 1.5 * shared
    usable = rng.random((count, SIDE, SIDE)) > 0.05
    return VeinMaps.of(values.astype(np.float32), usable.astype(np.float32))


def make_toy(identities: int, templates: int = 2) -> tuple[VeinMaps, Trials]:
    trials = make_trials(np.arange(identities), np.arange(identities), templates)
    return make_maps((templates + 1) * identities), trials


def by_hand(
    maps: VeinMaps, trials: Trials, mean: Floats | None, shift: int = SHIFT
) -> NDArray[np.float32]:
    """Every probe's best similarity to each identity, one at a time."""
    found = np.empty((len(trials.probes), len(trials.owners)), np.float32)
    for row, image in enumerate(trials.probes):
        probe = probe_codes(Signs.of(maps[np.array([image])], mean), shift)
        for identity in range(len(trials.owners)):
            own = maps[trials.templates[trials.enrolled == identity]]
            codes = template_codes(Signs.of(own, mean))
            found[row, identity] = similarities(probe, codes, maps.shape, shift).max()
    return found


def mean_of(maps: VeinMaps, trials: Trials, identities: NDArray[np.integer]) -> Floats | None:
    total = MapSum.empty(maps.shape)
    for identity in identities:
        total += MapSum.of(maps[trials.templates[trials.enrolled == identity]])
    return total.mean()


def test_maps_are_compared_with_and_without_the_mean_of_all_identities() -> None:
    maps, trials = make_toy(21)
    found = compare_net_maps(maps, trials, [], "toy/1")
    np.testing.assert_array_equal(found.without_mean, by_hand(maps, trials, None))
    mean = mean_of(maps, trials, np.arange(21))
    assert mean is not None
    np.testing.assert_array_equal(found.as_service.similarities, by_hand(maps, trials, mean))
    # What all palms share makes impostors alike; the mean map removes it.
    assert found.without_mean.mean() > found.as_service.similarities.mean() + 0.05


def test_no_mean_map_is_subtracted_for_fewer_than_twenty_identities() -> None:
    maps, trials = make_toy(19)
    found = compare_net_maps(maps, trials, [], "toy/1")
    assert found.as_service.impostors is None
    np.testing.assert_array_equal(found.as_service.similarities, found.without_mean)


def test_impostors_are_the_first_images_of_the_mean_map_s_identities() -> None:
    maps, trials = make_toy(26)
    order = np.random.default_rng(0).permutation(26)
    split = MeanSplit(order[:20], np.sort(order[20:]))
    found = compare_net_maps(maps, trials, [split], "toy/1")
    for one, enrolled in ((found.outside[0], order[:20]), (found.as_service, np.arange(26))):
        subjects = [maps[trials.templates[trials.enrolled == i]] for i in enrolled]
        total = reduce(add, map(MapSum.of, subjects))
        assert one.impostors == Impostors.of(compare_cohort(subjects, total))


def test_strangers_are_compared_with_each_other_minus_the_mean_of_the_others() -> None:
    maps, trials = make_toy(26)
    order = np.random.default_rng(0).permutation(26)
    strangers = np.sort(order[20:])
    splits = [MeanSplit(order[:0], strangers), MeanSplit(order[:20], strangers)]
    none, twenty = compare_net_maps(maps, trials, splits, "toy/1").outside
    cut = np.ix_(strangers, strangers)  # a probe of each identity, in order
    assert none.cohort is None
    np.testing.assert_array_equal(none.similarities, by_hand(maps, trials, None)[cut])
    mean = mean_of(maps, trials, order[:20])
    np.testing.assert_array_equal(twenty.similarities, by_hand(maps, trials, mean)[cut])


def test_the_size_of_a_block_does_not_change_similarities(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, trials = make_toy(21)
    expected = compare_net_maps(maps, trials, [], "toy/1")
    monkeypatch.setattr(map_similarities, "IMAGE_PAIRS", 100)
    found = compare_net_maps(maps, trials, [], "toy/1")
    np.testing.assert_array_equal(found.as_service.similarities, expected.as_service.similarities)
    both = fuse_maps(Fusion((0.5, 0.5), make_calibration((0.3, 0.1))), [found, found])
    np.testing.assert_allclose(
        both.as_service.similarities, expected.as_service.similarities, atol=1e-6
    )


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_the_shift_is_the_one_that_is_asked_for(shift: int) -> None:
    maps, trials = make_toy(3)
    found = compare_net_maps(maps, trials, [], "toy/1", shift=shift)
    np.testing.assert_array_equal(found.as_service.similarities, by_hand(maps, trials, None, shift))


@pytest.mark.parametrize(
    ("identities", "sizes"),
    [
        (19, []),
        (20, [(0, 20)]),
        (39, [(0, 39)]),
        (40, [(0, 40), (20, 20)]),
        (519, [(0, 500), (20, 499), (100, 419)]),
        (1500, [(0, 500), (20, 500), (100, 500), (500, 500)]),
    ],
)
def test_identities_are_enrolled_as_far_as_strangers_remain(
    identities: int, sizes: list[tuple[int, int]]
) -> None:
    splits = split_identities(identities, seed=3)
    assert [(len(one.enrolled), len(one.strangers)) for one in splits] == sizes
    for one in splits:
        assert not np.isin(one.strangers, one.enrolled).any()
        assert (np.diff(one.strangers) > 0).all()
    for fewer, more in pairwise(splits):
        assert np.isin(fewer.enrolled, more.enrolled).all()
        assert np.isin(more.strangers, fewer.strangers).all()


def test_every_number_of_identities_has_a_mean_map_or_none_is_meant() -> None:
    assert all(count == 0 or count >= MIN_SUBJECTS for count in ENROLLED)


def test_a_fused_similarity_is_the_weighted_sum_in_every_case() -> None:
    rng = np.random.default_rng(2)
    plain, centred, outside = (rng.random((2, 5, 4)).astype(np.float32) for _ in range(3))
    cohort = rng.random((2, 4, 4)).astype(np.float32)
    fusion = Fusion((0.75, 0.25), make_calibration((0.3, 0.1)))
    nets = [
        MapSimilarities(plain[i], Compared(centred[i], cohort[i]), (Compared(outside[i], None),))
        for i in range(2)
    ]
    found = fuse_maps(fusion, nets)
    for ours, parts in (
        (found.without_mean, plain),
        (found.as_service.similarities, centred),
        (found.as_service.cohort, cohort),
        (found.outside[0].similarities, outside),
    ):
        assert ours is not None
        np.testing.assert_allclose(ours, 0.75 * parts[0] + 0.25 * parts[1], atol=1e-6)
    assert found.outside[0].cohort is None


def test_an_embedding_is_compared_with_each_identity_s_best_template(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(map_similarities, "IMAGE_PAIRS", 12)
    trials = make_trials([0, 1, 2, 1], np.arange(3), templates=[1, 3, 2])
    embeddings = np.random.default_rng(1).normal(size=(10, 5)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    found = compare_embeddings(embeddings, trials)
    cosines = embeddings[6:] @ embeddings[:6].T
    expected = np.stack([cosines[:, :1].max(1), cosines[:, 1:4].max(1), cosines[:, 4:].max(1)], 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
