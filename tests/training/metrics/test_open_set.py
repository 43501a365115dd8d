"""Open-set figures of a toy net that looks a image's embedding up in a table."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

import training.metrics.open_set
from training.database.palms import Palms
from training.metrics.open_set import (
    OpenSetScore,
    compiled_embedder,
    is_template,
    mean_templates,
    measure_open_set,
    require_pairs,
)

MakePalms = Callable[..., Palms]


class Number(keras.layers.Layer):
    """A image of one pixel is the number that it has there."""

    def call(self, images: Any) -> Any:
        """Maps uint8 [B, 1, 1, 3] to int32 [B]."""
        return keras.ops.cast(images, "int32")[:, 0, 0, 0]


def net_of(embeddings: NDArray[np.floating]) -> keras.Model:
    """A net that gives image i the embedding [D] in row i."""
    image = keras.Input((1, 1, 3), dtype="uint8")
    table = keras.layers.Embedding(*embeddings.shape, name="embedding")
    net = keras.Model(image, keras.layers.Dense(3)(table(Number()(image))))
    table.set_weights([embeddings])
    return net


def at_degrees(*angles: float) -> keras.Model:
    """A net that gives image i the unit vector [2] at the i-th angle."""
    radians = np.deg2rad(angles)
    return net_of(np.stack([np.cos(radians), np.sin(radians)], axis=1))


def by_brute_force(
    embeddings: NDArray[np.floating], palms: Palms, gallery: NDArray[np.bool_]
) -> dict[str, float]:
    """Pair by pair, threshold by threshold."""
    hits, genuine, impostor = [], [], []
    for probe in np.flatnonzero(~gallery):
        found = {t: float(embeddings[probe] @ embeddings[t]) for t in np.flatnonzero(gallery)}
        for template, similarity in found.items():
            mine = palms.labels[probe] == palms.labels[template]
            (genuine if mine else impostor).append(similarity)
        hits.append(palms.labels[max(found, key=found.__getitem__)] == palms.labels[probe])
    rates = [
        max(np.mean(np.array(genuine) < t), np.mean(np.array(impostor) >= t))
        for t in [*genuine, *impostor]
    ]
    return {"rank_1": float(np.mean(hits)), "eer": float(min(rates))}


def test_palms_that_keep_apart_are_all_found(make_palms: MakePalms) -> None:
    net = at_degrees(0, 2, 60, 63, 120, 121)
    assert measure_open_set(compiled_embedder(net), make_palms(3, sessions=0, shots=2)) == {
        "rank_1": 1,
        "eer": 0,
    }


def test_a_palm_nearer_to_another_is_counted_by_hand(make_palms: MakePalms) -> None:
    # Templates 0, 60, 120; probes 5, 65, 70. The last is nearer to 60, and 50 off its own.
    net = at_degrees(0, 5, 60, 65, 120, 70)
    # At 50 degrees all three genuine pairs match, and of six impostors the one 10 degrees off.
    assert measure_open_set(compiled_embedder(net), make_palms(3, sessions=0, shots=2)) == {
        "rank_1": pytest.approx(2 / 3),
        "eer": pytest.approx(1 / 6),
    }


@pytest.mark.parametrize("pairs_at_once", [1, 25, 1 << 22])
@pytest.mark.parametrize("sessions", [0, 2])
def test_blocks_say_what_a_comparison_of_every_pair_says(
    pairs_at_once: int,
    sessions: int,
    make_palms: MakePalms,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training.metrics.open_set, "PAIRS_AT_ONCE", pairs_at_once)
    palms = make_palms(5, sessions=sessions, shots=4)
    rng = np.random.default_rng(sessions)
    embeddings = rng.normal(size=(5, 8))[palms.labels] + rng.normal(0, 1, (len(palms), 8))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    expected = by_brute_force(embeddings, palms, is_template(palms))
    assert 0 < expected["eer"] < 0.5
    assert 0.2 < expected["rank_1"] < 1
    assert measure_open_set(compiled_embedder(net_of(embeddings)), palms, batch_size=7) == {
        name: pytest.approx(value) for name, value in expected.items()
    }


def test_templates_are_of_the_first_session(make_palms: MakePalms) -> None:
    palms = make_palms(2, sessions=3, shots=2)
    np.testing.assert_array_equal(is_template(palms), palms.sessions == 0)


def test_who_missed_the_first_session_has_templates_of_the_next(make_palms: MakePalms) -> None:
    whole = make_palms(3, sessions=3, shots=2)
    late, once = whole.labels == 1, whole.labels == 2
    palms = whole.select((~late | (whole.sessions > 0)) & (~once | (whole.sessions == 2)))
    expected = {0: [0, 0], 1: [1, 1], 2: [2, 2]}  # the last is nobody's probe
    for label, sessions in expected.items():
        assert palms.sessions[is_template(palms) & (palms.labels == label)].tolist() == sessions


@pytest.mark.parametrize(("shots", "templates"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_without_a_second_session_the_first_half_of_the_shots_is_the_template(
    shots: int, templates: int, make_palms: MakePalms
) -> None:
    palms = make_palms(2, sessions=0, shots=shots)
    np.testing.assert_array_equal(is_template(palms), palms.shots < templates)


def test_one_moment_in_two_bands_is_not_parted(make_palms: MakePalms) -> None:
    palms = make_palms(2, sessions=1, shots=3, bands=2)
    np.testing.assert_array_equal(is_template(palms), palms.shots < 1)


def test_one_image_each_is_refused_and_not_nan(make_palms: MakePalms) -> None:
    require_pairs(make_palms(4, sessions=0, shots=2))
    single = make_palms(4, sessions=0, shots=1)
    message = "none of 4 identities has a second image, such as 0/0/0-0.*choose another --split"
    with pytest.raises(ValueError, match=message):
        require_pairs(single)
    with pytest.raises(ValueError, match=message):
        measure_open_set(compiled_embedder(at_degrees(0, 1, 2, 3)), single)


def test_one_identity_has_nobody_to_be_mistaken_for(make_palms: MakePalms) -> None:
    with pytest.raises(ValueError, match="one identity only, such as 0/0/0-0"):
        require_pairs(make_palms(1, sessions=2, shots=2))


def test_an_epoch_s_figures_have_the_open_set_s(make_palms: MakePalms) -> None:
    callback = OpenSetScore(make_palms(3, sessions=0, shots=2))
    callback.set_model(at_degrees(0, 2, 60, 63, 120, 121))
    logs = {"loss": 0.5}
    callback.on_epoch_end(0, logs)
    assert logs == {"loss": 0.5, "val_rank_1": 1, "val_eer": 0}


def test_a_template_is_the_mean_at_unit_length_and_nothing_for_who_has_none() -> None:
    embeddings = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], np.float32)
    found = mean_templates(embeddings, np.array([0, 0, 2, 2], np.int32), 4)
    root = np.sqrt(0.5)
    np.testing.assert_allclose(found, [[root, root], [0, 0], [0, 1], [0, 0]], atol=1e-6)
