"""Sheets of training samples."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from training.database.image_files import ImageFile
from training.finder import samples
from training.finder.light import change_background, relight
from training.finder.samples import SHEET, Photo, draw_photo, draw_sheet
from training.finder.stream import SampleStream
from training.finder.targets import CROP, HAND, KIND_AT, NOTHING, SKIN_AT, Sample
from training.finder.textures import TEXTURES, Texture
from training.synthetic.anatomy import LAYERS
from training.synthetic.canvas import CANVAS_PX
from training.synthetic.palms import draw_identity, draw_palms

SIDE = 64


@pytest.fixture(scope="module")
def palms(tmp_path_factory: pytest.TempPathFactory) -> ImageFile:
    return draw_palms(2, 1, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def photo() -> Photo:
    return draw_photo(draw_identity(1, 0), 5, 3, np.random.default_rng(0))


def test_equal_numbers_give_equal_sheets_and_others_differ(palms: ImageFile) -> None:
    (views, targets), (again, same), (other, _) = (
        draw_sheet(palms, 1, number, SIDE) for number in (4, 4, 5)
    )
    assert (views == again).all()
    assert (targets == same).all()
    assert (views != other).any(axis=(1, 2, 3)).all()
    assert views.shape == (SHEET, SIDE, SIDE, 1)
    assert targets.shape == (SHEET, SKIN_AT + (SIDE // 4) ** 2)


def test_a_sheet_has_twelve_hands_four_crops_and_four_of_neither(palms: ImageFile) -> None:
    _, targets = draw_sheet(palms, 1, 0, SIDE)
    kinds, counts = np.unique(targets[:, KIND_AT], return_counts=True)
    assert kinds.tolist() == [HAND, CROP, NOTHING]
    assert counts.tolist() == [12, 4, 4]
    hands = targets[targets[:, KIND_AT] == HAND]
    gaps = hands[:, : KIND_AT - 2]
    assert ((gaps > -1) & (gaps < SIDE)).all()


View = Callable[[Photo, np.random.Generator, int], Sample]


@pytest.mark.parametrize("view", [samples.view_whole, samples.view_freely, samples.view_closely])
def test_a_view_s_landmarks_lie_where_the_hand_was_drawn(view: View, photo: Photo) -> None:
    """A spot drawn at each landmark of the photograph is found at that landmark of the view."""
    for index, point in enumerate(photo.points):
        spot = np.zeros_like(photo.grey)
        cv2.circle(spot, np.rint(point * 16).astype(int).tolist(), 100, 255, -1, cv2.LINE_AA, 4)
        marked = Photo(spot, photo.mask, photo.points, photo.px_per_mm, photo.left)
        for seed in range(3):
            seen = view(marked, np.random.default_rng(seed), 160)
            y, x = np.mgrid[:160, :160]
            weights = np.where(seen.view > 20, seen.view, 0).astype(float)  # without bars
            found = np.array([(x * weights).sum(), (y * weights).sum()]) / weights.sum()
            assert found == pytest.approx(seen.points[index], abs=0.8)
            assert seen.left == photo.left


def test_an_image_beside_the_palm_shows_no_gap(photo: Photo) -> None:
    for seed in range(5):
        away = samples.look_away(photo, np.random.default_rng(seed), SIDE)
        assert away.kind == NOTHING


def test_a_crop_shows_skin_alone(photo: Photo) -> None:
    crop = samples.cut_crop(photo, np.random.default_rng(0), SIDE)
    assert crop.kind == CROP
    assert (crop.mask == 255).all()


def test_another_background_leaves_the_hand_as_it_is(photo: Photo) -> None:
    sample = samples.view_closely(photo, np.random.default_rng(0), 160)
    inner = cv2.erode(sample.mask, np.ones((9, 9), np.uint8)) == 255
    outer = cv2.dilate(sample.mask, np.ones((9, 9), np.uint8)) == 0
    changed = 0
    for seed in range(12):
        view = change_background(sample.view, sample.mask, np.random.default_rng(seed))
        assert np.abs(view[inner].astype(int) - sample.view[inner]).max() <= 1
        changed += bool((view[outer] != sample.view[outer]).mean() > 0.5)
    assert 2 <= changed <= 10


def test_some_other_backgrounds_are_as_bright_as_the_hand(photo: Photo) -> None:
    sample = samples.view_closely(photo, np.random.default_rng(0), 160)
    outside = sample.mask == 0
    skin = sample.view[sample.mask > 127].mean()
    views = [
        change_background(sample.view, sample.mask, np.random.default_rng(seed))
        for seed in range(60)
    ]
    changed = [
        v[outside].mean() for v in views if (v[outside] != sample.view[outside]).mean() > 0.5
    ]
    near = sum(abs(mean - skin) < 20 for mean in changed)
    assert 0.3 * len(changed) < near < 0.8 * len(changed)


def test_a_hand_has_the_veins_of_one_palm_and_the_skin_of_another(palms: ImageFile) -> None:
    """Each layer that is not moved is one of the two palms'; veins, lines and wrinkles are not."""
    drawn = palms[np.arange(2)].reshape(2, len(LAYERS), CANVAS_PX, CANVAS_PX)
    rng = np.random.default_rng(0)
    mixtures = [samples.mix(palms, rng) for _ in range(6)]
    for mixed in mixtures:
        own = [any((mixed[layer] == palm[layer]).all() for palm in drawn) for layer in range(8)]
        assert own == [False, False, False, False, True, True, True, True]
    veins = np.array([mixed[:2].mean() for mixed in mixtures])
    assert (veins > 1).all()
    assert len(np.unique(veins)) == len(veins)


def test_relighting_keeps_the_shape() -> None:
    view = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
    for seed in range(20):
        lit = relight(view, np.random.default_rng(seed))
        assert (lit.shape, lit.dtype) == (view.shape, np.uint8)


@pytest.mark.parametrize("texture", sorted(set(TEXTURES), key=lambda texture: texture.__name__))
def test_a_texture_is_finite(texture: Texture) -> None:
    for seed in range(4):
        drawn = texture(np.random.default_rng(seed), SIDE)
        assert (drawn.shape, drawn.dtype) == ((SIDE, SIDE), np.float32)
        assert np.isfinite(drawn).all()


def test_a_batch_depends_only_on_seed_epoch_and_index(palms: ImageFile) -> None:
    options = {"batches": 2, "batch_size": SHEET, "side_px": SIDE, "seed": 3}
    stream = SampleStream(palms, **options)
    first = stream[1]
    stream.on_epoch_end()
    second = stream[1]
    assert (first[0] != second[0]).any()
    with ThreadPoolExecutor(1) as pool:
        later = SampleStream(palms, **options, epoch=1, pool=pool)
        assert len(later) == 2
        for one, other in zip(later[1], second, strict=True):
            assert (one == other).all()
