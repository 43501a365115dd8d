"""Interpolation between a net's weights before and after fine-tuning.

Fine-tuning on a few palms costs accuracy on all others. A point between the old and the new weights
often keeps most of what was gained and loses nothing: WiSE-FT, Wortsman et al., "Robust fine-tuning
of zero-shot models", arXiv 2109.01903.
"""

from dataclasses import dataclass
from typing import Any

import keras

from training.database.palms import Palms
from training.fit.monitors import measure_with_progress
from training.metrics.open_set import compiled_embedder

SHARES = (1.0, 0.75, 0.5, 0.25)
"""Shares of the change that are tried, in this order; if none is good enough, nothing is kept."""


@dataclass(frozen=True, slots=True)
class Interpolation:
    """How much of a fine-tuning was kept, and why.

    Attributes:
        identities: number of strangers.
        eer_before: strangers' equal error rate before fine-tuning, in [0, 1].
        eer_by_share: their equal error rate with each share of the change that was tried.
        share_kept: from 0 (nothing) to 1 (all of the change).
    """

    identities: int
    eer_before: float
    eer_by_share: dict[float, float]
    share_kept: float

    @property
    def eer_after(self) -> float:
        """The strangers' equal error rate with the kept share."""
        return self.eer_by_share.get(self.share_kept, self.eer_before)

    def __str__(self) -> str:
        """Says in one sentence how much was kept, and why."""
        of_strangers = f"the equal error rate on {self.identities} synthetic strangers"
        if self.share_kept == 1:
            return (
                f"All of the change is kept: {of_strangers} is {self.eer_after:.3%}, and was "
                f"{self.eer_before:.3%} before."
            )
        *_, refused = (share for share in self.eer_by_share if share > self.share_kept)
        rise = f"{of_strangers} from {self.eer_before:.3%} to {self.eer_by_share[refused]:.3%}"
        if self.share_kept == 0:
            return (
                f"Nothing of the change is kept: even {refused:.0%} of it raises {rise}. The net "
                "is the one before fine-tuning, and only its identities are new; --may-rise "
                "allows a higher rate."
            )
        return (
            f"{self.share_kept:.0%} of the change is kept: {refused:.0%} of it raises {rise}. "
            f"With what is kept it is {self.eer_after:.3%}."
        )

    def as_dict(self) -> dict[str, Any]:
        """Returns the figures and the sentence, for result.json."""
        return {
            "identities": self.identities,
            "eer_before": self.eer_before,
            "eer_after": self.eer_after,
            "eer_by_share": {f"{share:g}": eer for share, eer in self.eer_by_share.items()},
            "share_kept": self.share_kept,
            "summary": str(self),
        }


def interpolate_weights(
    net: keras.Model, tuned: keras.Model, strangers: Palms, may_rise: float = 0.0
) -> Interpolation:
    """Moves a net's weights as far towards fine-tuned ones as strangers' error rate allows.

    Args:
        net: as it was before fine-tuning, in float32. Its weights are changed, except prototypes.
        tuned: the fine-tuned net, with layers of the same names.
        strangers: images of identities that neither was trained on.
        may_rise: by how much their equal error rate may be higher than before, in [0, 1].
    """
    start = {layer.name: layer.get_weights() for layer in net.layers}
    embed = compiled_embedder(net)
    before = measure_with_progress(embed, strangers, "strangers before")["eer"]
    tried: dict[float, float] = {}
    for share in SHARES:
        _set_weights(net, start, tuned, share)
        name = f"strangers with {share:.0%} of the change"
        tried[share] = measure_with_progress(embed, strangers, name)["eer"]
        if tried[share] <= before + may_rise:
            return Interpolation(len(strangers.identities), before, tried, share)
    _set_weights(net, start, tuned, 0.0)
    return Interpolation(len(strangers.identities), before, tried, 0.0)


def _set_weights(
    net: keras.Model, start: dict[str, list[Any]], tuned: keras.Model, share: float
) -> None:
    for layer in net.layers:
        if layer.name != "similarity":
            goal = tuned.get_layer(layer.name).get_weights()
            pairs = zip(start[layer.name], goal, strict=True)
            layer.set_weights([a + share * (b - a) for a, b in pairs])
