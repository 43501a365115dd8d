"""Tells after every epoch whether a net is dead, which layer died, and what to change.

A net that stays at the loss ln C, for C identities, answers the same whatever image it sees. The
loss alone cannot tell it from a slow beginner, whose answers differ a little from image to
image: that difference is what is monitored. docs/why-vgg-does-not-learn.md has the measurements.
"""

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from training.fit.layer_inspector import LayerInspector, LayerSignal
from training.nets.recipe import Recipe

FIRST_EPOCHS = 2
"""Nearly all nets that die do so in these; what has not begun to learn by then is told."""

STUCK_LOSS = 0.02
"""How near to ln C the cross-entropy of a net stands that has not begun to learn."""

DEAD_SPREAD = 5e-5
"""Spread of the answers over images under which the net has stopped to tell them apart. float32's
rounding leaves 3e-7. In the ablation a VGG19 with 3e-5 after two epochs died in the third, and a
VGG16 with 6e-5 after one recovered."""

DEAD_STEP = 5e-5
"""Gradient to the first kernel, over that kernel's own size, under which nothing reaches it: 2e-5
and 9e-5 in those two. Nets with BatchNorm, whose running averages lag in the first epochs, may give
all images one answer and yet learn: their gradient was 1e-2 and more."""

ALIKE_SPREAD = 1e-2
"""Spread of a layer's output under which it is where the images became alike; alive: 0.1 to 1."""

DEAD_UNITS = 0.9
"""Share of units at 0 from which a layer is where the net died."""


class NetIsDead(ValueError):
    """The guard stopped a training; the message says which layer died and what to change."""


class Guard(keras.callbacks.Callback):
    """Looks into the net after every epoch, and at the loss after every batch.

    Attributes:
        findings: what was wrong, one line each; empty for a net that learns.
        signals: what the probe saw before the first epoch and after every epoch, oldest first.
    """

    def __init__(
        self,
        probe: LayerInspector,
        recipe: Recipe,
        *,
        stop: bool = True,
        log: Path | None = None,
        net: str = "",
    ) -> None:
        """Creates the guard.

        Args:
            probe: looks into the net, on images of several identities.
            recipe: what advice is given on.
            stop: end a training that is dead, with `NetIsDead`, or go on and only write it down.
            log: text file for the findings; what stands in it was found before an interruption.
            net: whose guard it is, where others are trained beside it.
        """
        super().__init__()
        self._net = net
        self.findings = log.read_text().splitlines() if log and log.exists() else []
        self.signals: list[list[LayerSignal]] = []
        self._probe = probe
        self._recipe = recipe
        self._stop = stop
        self._log = log
        self._dead = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Looks at the net as it was initialised."""
        self.signals.append(self._probe.inspect())

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends a training whose loss is no number any more."""
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss) and not self._dead:
            self._dead = True
            rate = self._recipe.learning_rate
            self.report(
                f"the loss is {loss} after step {batch + 1}: lower --learning-rate "
                f"(it is {rate:g}) or set --clip-norm 1"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the net after an epoch."""
        if self._dead:
            return
        signals = self._probe.inspect()
        self.signals.append(signals)
        figures = logs or {}
        loss = figures.get(f"{self._net}_loss", figures.get("loss", np.nan))
        standing, stuck = f"the loss is {loss:.3f}", False
        if self._recipe.head == "paper":  # ln C is no measure of a margin's loss
            identities = self.model.output.shape[-1]
            chance = float(np.log(identities))
            standing += f", chance is ln {identities} = {chance:.3f}"
            stuck = abs(loss - chance) < STUCK_LOSS and epoch + 1 == FIRST_EPOCHS
        when = f"{self._net}, epoch {epoch + 1}" if self._net else f"epoch {epoch + 1}"
        if died := find_death(signals):
            self._dead = True
            self.report(f"{when}: {died}; {standing}. {advise(self._recipe)}")
        elif stuck:
            spread = signals[-1].spread
            self._note(
                f"{when}: alive, but it has not begun to learn: its answers differ by "
                f"{spread:.0e} from image to image; {standing}. {advise(self._recipe)}"
            )

    def report(self, finding: str) -> None:
        """Writes a finding down, and ends the training unless it is only to warn."""
        if self._stop:
            self._keep(finding)
            raise NetIsDead(finding)
        self._note(finding)

    def _note(self, finding: str) -> None:
        self._keep(finding)
        tqdm.write(f"guard: {finding}", file=sys.stderr)

    def _keep(self, finding: str) -> None:
        self.findings.append(finding)
        if self._log and self._log.parent.is_dir():
            self._log.write_text("\n".join(self.findings) + "\n")


def find_death(signals: list[LayerSignal]) -> str | None:
    """Which layer made all images alike; None if the answers still differ.

    Args:
        signals: of a probe, from the image to the answer.
    """
    if not all(np.isfinite(s.rms) for s in signals):
        broken = next(s for s in signals if not np.isfinite(s.rms))
        return f"{broken.layer} puts out values that are not finite"
    learning = [s for s in signals if not np.isnan(s.step)]  # the others are frozen
    if signals[-1].spread >= DEAD_SPREAD or learning[0].step >= DEAD_STEP:
        return None
    died = next(
        (s for s in signals if s.dead >= DEAD_UNITS or s.spread < ALIKE_SPREAD), signals[-1]
    )
    return (
        f"the net gives every image the same answer: {died.layer} died ({died.dead:.0%} of its "
        f"units are 0 for every image), and the gradient at {learning[0].layer} is "
        f"{learning[0].gradient:.0e}"
    )


def advise(recipe: Recipe) -> str:
    """What to change. The ablation saw hardly any change help alone, so pairs come first."""
    advice: list[str] = []
    if recipe.wiring == "disconnected":
        advice.append("connect the preprocessing (--wiring connected)")
    elif recipe.input == "raw":
        advice.append("rescale the input (--input rescaled)")
    plain = recipe.normalization in ("none", "bare")
    if plain or recipe.head == "paper":
        both = "standardise the kernels and take the embedding head (--preset shipped)"
        keep = "with the paper's head: --normalization weight or batch, and --learning-rate 1e-4"
        advice.append(f"{both}; or, {keep}")
    elif recipe.learning_rate > 1e-4:
        advice.append(f"lower --learning-rate from {recipe.learning_rate:g} to 1e-4")
    if not advice:
        advice.append("look at the images and their labels (python -m training check)")
    return f"Change: {', and '.join(advice)}. docs/why-vgg-does-not-learn.md compares them"
