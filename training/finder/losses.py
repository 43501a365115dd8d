"""The finder's losses. Each takes the targets of `training.finder.targets.Sample.target`."""

from typing import Any

import keras
from keras import ops

from app.palm.landmarks import DIRECTIONS, KINDS, LANDMARKS, REACH
from training.finder.targets import CROP, DIRECTION_AT, HAND, KIND_AT, LEFT_AT, SKIN_AT, STRIDE

SPREAD = 1.0
"""Standard deviation of a landmark's target, in places of the grid."""

FAR_OFF = 1.0
"""Weight of `far_off` beside the cross-entropy of the landmarks."""

QUADRATIC = 0.25
"""Distance of a mean place from its landmark up to which the loss is quadratic, in places."""

WEIGHTS = {"landmarks": 1.0, "skin": 1.0, "kind": 0.5, "left": 0.5, "direction": 0.5}
"""Weights of the losses in their sum."""


def losses() -> dict[str, keras.losses.Loss]:
    """Returns the weighted loss of each output."""
    kinds = {
        "landmarks": LandmarkLoss,
        "skin": SkinLoss,
        "kind": KindLoss,
        "left": LeftLoss,
        "direction": DirectionLoss,
    }
    return {name: kind(WEIGHTS[name], name=f"{name}_loss") for name, kind in kinds.items()}


class _Weighted(keras.losses.Loss):
    def __init__(self, weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.weight = weight


class LandmarkLoss(_Weighted):
    """Cross-entropy of the landmarks' places with `place_targets`, and `far_off`, of hands."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Maps targets [B, T] and logits [B, G, G, 4] to losses [B]."""
        grid, count = y_pred.shape[1], len(LANDMARKS)
        points = y_true[:, :KIND_AT]
        wanted = ops.reshape(place_targets(points, grid), (-1, grid * grid, count))
        found: Any = ops.log_softmax(ops.reshape(y_pred, (-1, grid * grid, count)), axis=1)
        likelihood: Any = ops.mean(ops.sum(wanted * found, axis=1), axis=1)
        odds = ops.reshape(ops.exp(found), (-1, grid, grid, count))
        return self.weight * _is(HAND, y_true) * (FAR_OFF * far_off(points, odds) - likelihood)


class SkinLoss(_Weighted):
    """Cross-entropy of the skin, mean over the grid."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Maps targets [B, T] and probabilities [B, G, G] to losses [B]."""
        flat = ops.reshape(y_pred, (-1, y_pred.shape[1] * y_pred.shape[2]))
        entropy: Any = keras.losses.binary_crossentropy(y_true[:, SKIN_AT:], flat)
        return self.weight * entropy


class KindLoss(_Weighted):
    """Cross-entropy of the kind of image."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Maps targets [B, T] and probabilities [B, 3] to losses [B]."""
        wanted = ops.one_hot(ops.cast(y_true[:, KIND_AT], "int32"), len(KINDS))
        entropy: Any = keras.losses.categorical_crossentropy(wanted, y_pred)
        return self.weight * entropy


class LeftLoss(_Weighted):
    """Cross-entropy of left and right, of hands alone."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Maps targets [B, T] and probabilities [B] to losses [B]."""
        wanted = y_true[:, LEFT_AT : LEFT_AT + 1]
        entropy: Any = keras.losses.binary_crossentropy(wanted, ops.reshape(y_pred, (-1, 1)))
        return self.weight * _is(HAND, y_true) * entropy


class DirectionLoss(_Weighted):
    """Cross-entropy of where the fingers point, of crops alone."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Maps targets [B, T] and probabilities [B, 4] to losses [B]."""
        wanted = ops.one_hot(ops.cast(y_true[:, DIRECTION_AT], "int32"), len(DIRECTIONS))
        entropy: Any = keras.losses.categorical_crossentropy(wanted, y_pred)
        return self.weight * _is(CROP, y_true) * entropy


def place_targets(points: Any, grid: int) -> Any:
    """Returns the probabilities of places that landmarks are learned from.

    Args:
        points: float32 [B, 2 K], x and y in px of the view, `STRIDE` times as wide as the grid.
        grid: side G of the grid.

    Returns:
        float32 [B, G, G, K], a Gaussian of `SPREAD` around each point, with sum 1.
    """
    places: Any = ops.arange(grid, dtype="float32")
    middles = (places[None, :, None] + 0.5) * STRIDE - 0.5
    x, y = points[:, None, 0::2], points[:, None, 1::2]
    width = 2 * (SPREAD * STRIDE) ** 2
    across: Any = ops.softmax(-((middles - x) ** 2) / width, axis=1)
    down: Any = ops.softmax(-((middles - y) ** 2) / width, axis=1)
    return down[:, :, None] * across[:, None]


def far_off(points: Any, odds: Any) -> Any:
    """Returns how far from the landmarks the mean places around them are.

    Args:
        points: float32 [B, 2 K], x and y in px of the view.
        odds: float32 [B, G, G, K], probabilities of places; those within `REACH` of a landmark
            count, as `app.palm.landmarks.decode` counts those around the most probable one.

    Returns:
        float32 [B], mean over the landmarks and axes of Huber's function of the distance in places:
        quadratic below `QUADRATIC`, then linear.
    """
    places: Any = ops.arange(odds.shape[1], dtype="float32")
    total: Any = 0.0
    true = (points + 0.5) / STRIDE - 0.5
    x, y = true[:, None, 0::2], true[:, None, 1::2]
    across, down = places[None, :, None] - x, places[None, :, None] - y
    rows, columns = (_within_reach(one) for one in (down, across))
    near: Any = rows[:, :, None] * columns[:, None] * odds
    mass: Any = ops.sum(near, axis=(1, 2))
    for away in (across[:, None], down[:, :, None]):
        off: Any = ops.abs(ops.sum(near * away, axis=(1, 2)) / (mass + 1e-6))
        bent: Any = ops.minimum(off, QUADRATIC)
        total = total + ops.mean(bent * (off - bent / 2) / QUADRATIC, axis=-1)
    return total / 2


def _within_reach(distance: Any) -> Any:
    """Returns 1 where a distance in places is at most `REACH`, else 0."""
    length: Any = ops.abs(distance)
    return ops.cast(length <= REACH, "float32")


def _is(kind: int, y_true: Any) -> Any:
    """Returns 1 for each target of a kind and 0 for the others, [B]."""
    return ops.cast(ops.equal(y_true[:, KIND_AT], float(kind)), "float32")
