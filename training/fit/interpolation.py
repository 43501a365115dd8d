"""Interpolates between a net's weights before and after fine-tuning.

Fine-tuning on a few palms costs accuracy on all others. Weights between the old and the new ones
often keep most of the gain without that loss: WiSE-FT, Wortsman et al., "Robust fine-tuning of
zero-shot models", arXiv 2109.01903. The error rate of vein maps decides, because the service
compares vein maps.
"""

from dataclasses import dataclass
from typing import Any

import keras

from training.database.palms import Palms
from training.fit.monitors import measure_with_progress
from training.metrics.open_set import compiled_mapper, measure_maps

SHARES = (1.0, 0.75, 0.5, 0.25)
"""Shares of the change to try, in this order; if none is good enough, no change is kept."""


@dataclass(frozen=True, slots=True)
class Interpolation:
    """The share of a fine-tuning that was kept, and the error rates that decided it.

    Attributes:
        identities: number of strangers.
        eer_before: equal error rate of the strangers' vein maps before fine-tuning, in [0, 1].
        eer_by_share: their equal error rate for each share of the change that was tried.
        share_kept: share of the change that was kept, from 0 to 1.
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
        """Describes in one or two sentences how much was kept, and why."""
        of_strangers = f"the maps' equal error rate on {self.identities} synthetic strangers"
        if self.share_kept == 1:
            return (
                f"All of the change is kept: {of_strangers} is {self.eer_after:.3%}; before "
                f"fine-tuning it was {self.eer_before:.3%}."
            )
        *_, refused = (share for share in self.eer_by_share if share > self.share_kept)
        rise = f"{of_strangers} from {self.eer_before:.3%} to {self.eer_by_share[refused]:.3%}"
        if self.share_kept == 0:
            return (
                f"None of the change is kept: even {refused:.0%} of it raises {rise}. Only the "
                "identities of the net are new; --may-rise allows a higher rate."
            )
        return (
            f"{self.share_kept:.0%} of the change is kept: {refused:.0%} of it raises {rise}; "
            f"{self.share_kept:.0%} gives {self.eer_after:.3%}."
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
    """Moves a net's weights towards fine-tuned ones, as far as the strangers' error rate allows.

    Args:
        net: the net before fine-tuning, in float32. Its weights are changed, except prototypes.
        tuned: the fine-tuned net, with layers of the same names.
        strangers: images of identities that neither net was trained on.
        may_rise: allowed rise of the strangers' equal error rate, in [0, 1].
    """
    start = {layer.name: layer.get_weights() for layer in net.layers}
    run = compiled_mapper(net)

    def eer(name: str) -> float:
        return measure_with_progress(run, strangers, name, measure=measure_maps)["map_eer"]

    before = eer("strangers before")
    tried: dict[float, float] = {}
    for share in SHARES:
        _set_weights(net, start, tuned, share)
        tried[share] = eer(f"strangers with {share:.0%} of the change")
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
