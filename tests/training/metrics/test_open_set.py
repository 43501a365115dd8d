"""Open-set rates against cases counted by hand and a comparison of every pair."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.toy_palms import make_palms
from training.database.palms import Palms
from training.metrics.open_set import compiled_embedder, measure_open_set, open_set_rates
from training.metrics.protocol import is_template


def at_degrees(*angles: float) -> NDArray[np.float32]:
    """Unit vectors [N, 2] at these angles."""
    radians = np.deg2rad(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


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


def test_palms_far_apart_are_all_recognized() -> None:
    embeddings = at_degrees(0, 2, 60, 63, 120, 121)
    found = open_set_rates(embeddings, make_palms(3, sessions=0, shots=2))
    assert found == {"rank_1": 1, "eer": 0}


def test_a_probe_nearer_to_another_identity_is_an_error() -> None:
    # Templates 0, 60, 120; probes 5, 65, 70. The last is nearer to 60, and 50 off its own.
    embeddings = at_degrees(0, 5, 60, 65, 120, 70)
    # At 50 degrees all three genuine pairs match, and of six impostors the one 10 degrees off.
    assert open_set_rates(embeddings, make_palms(3, sessions=0, shots=2)) == {
        "rank_1": pytest.approx(2 / 3),
        "eer": pytest.approx(1 / 6),
    }


@pytest.mark.parametrize("pairs_at_once", [1, 25, 1 << 22])
@pytest.mark.parametrize("sessions", [0, 2])
def test_the_rates_are_those_of_a_comparison_of_every_pair(
    pairs_at_once: int, sessions: int
) -> None:
    palms = make_palms(5, sessions=sessions, shots=4)
    rng = np.random.default_rng(sessions)
    embeddings = rng.normal(size=(5, 8))[palms.labels] + rng.normal(0, 1, (len(palms), 8))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    expected = by_brute_force(embeddings, palms, is_template(palms))
    assert 0 < expected["eer"] < 0.5
    assert 0.2 < expected["rank_1"] < 1
    found = open_set_rates(embeddings, palms, pairs_at_once=pairs_at_once)
    assert found == {name: pytest.approx(value) for name, value in expected.items()}


class PixelNumber(keras.layers.Layer):
    """Maps an image of one pixel to that pixel's number."""

    def call(self, images: Any) -> Any:
        """Maps uint8 [B, 1, 1, 3] to int32 [B]."""
        return keras.ops.cast(images, "int32")[:, 0, 0, 0]


def net_of(embeddings: NDArray[np.floating]) -> keras.Model:
    """A net that gives image i the embedding [D] in row i."""
    image = keras.Input((1, 1, 3), dtype="uint8")
    table = keras.layers.Embedding(*embeddings.shape, name="embedding")
    net = keras.Model(image, keras.layers.Dense(3)(table(PixelNumber()(image))))
    table.set_weights([embeddings])
    return net


def test_a_net_has_the_rates_of_its_embeddings() -> None:
    embeddings = at_degrees(0, 5, 60, 65, 120, 70)
    palms = make_palms(3, sessions=0, shots=2)
    found = measure_open_set(compiled_embedder(net_of(embeddings)), palms, batch_size=4)
    assert found == open_set_rates(embeddings, palms)
