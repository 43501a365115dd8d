"""A guard that stops the training of a dead net and reports which layer died and what to change.

A dead net gives every image the same answer, and its loss stays at ln C for C identities. A net
that learns slowly has about the same loss, but its answers differ a little between images. The
guard measures that difference. docs/why-vgg-does-not-learn.md has the measurements.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.fit.checkpoint import epochs_done
from training.fit.layer_inspector import INSPECTED_IMAGES, LayerInspector, LayerSignal
from training.nets.recipe import Recipe
from training.report.files import write_text

FIRST_EPOCHS = 2
"""Number of epochs after which a net that has not begun to learn is reported; nearly all nets that
die do so by then."""

STUCK_LOSS = 0.02
"""Distance of the cross-entropy from ln C below which a net has not begun to learn."""

DEAD_SPREAD = 5e-5
"""Spread of the answers over images below which a net may be dead. Rounding in float32 alone gives
3e-7; docs/why-vgg-does-not-learn.md has the measurements."""

DEAD_STEP = 5e-5
"""Gradient of the first kernel, relative to the kernel, below which that kernel no longer learns. A
net is dead only if both values are too small: a net with BatchNorm, whose running averages lag in
the first epochs, may give all images the same answer and still have a gradient of 1e-2."""

ALIKE_SPREAD = 1e-2
"""Spread of a layer's output below which its outputs for all images are alike; in nets that learn
it is 0.1 to 1."""

DEAD_UNITS = 0.9
"""Share of units at 0 from which a layer counts as dead."""


class NetIsDead(ValueError):
    """Raised when a guard stops a training; says which layer died and what to change."""


class Guard(keras.callbacks.Callback):
    """Inspects a net after every epoch, and the loss after every batch.

    Attributes:
        findings: problems, one line each; empty for a net that learns.
        signals: signals of the layers before the first epoch and after each epoch, oldest first.
    """

    def __init__(
        self,
        inspector: LayerInspector,
        recipe: Recipe,
        *,
        stop: bool = True,
        log: Path | None = None,
        net: str = "",
    ) -> None:
        """Creates the guard.

        Args:
            inspector: inspector of the net, with images of several identities.
            recipe: the net's recipe, for the advice.
            stop: whether a dead net ends the training with `NetIsDead`, or is only reported.
            log: text file of the findings; a resumed run keeps those that it holds.
            net: name of the net if several are trained together, else "".
        """
        super().__init__()
        self._net = net
        self.findings = log.read_text().splitlines() if log and log.exists() else []
        self.signals: list[list[LayerSignal]] = []
        self._inspector = inspector
        self._recipe = recipe
        self._stop = stop
        self._log = log
        self._dead = False

    def report_before(self, problems: Sequence[str]) -> None:
        """Reports problems found before the first epoch, except in a run that has findings."""
        if not self.findings:
            for problem in problems:
                self.report(f"before epoch 1: {problem}")

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Inspects the net as it was initialised."""
        self.signals.append(self._inspector.inspect())

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Reports a loss that is not finite."""
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss) and not self._dead:
            self._dead = True
            rate = self._recipe.learning_rate
            self.report(
                f"the loss is {loss} after step {batch + 1}: lower --learning-rate "
                f"(it is {rate:g}) or set --clip-norm 1"
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Inspects the net after an epoch."""
        if self._dead:
            return
        signals = self._inspector.inspect()
        self.signals.append(signals)
        figures = logs or {}
        loss = figures.get(f"{self._net}_loss", figures.get("loss", np.nan))
        state, stuck = f"the loss is {loss:.3f}", False
        if self._recipe.head == "paper":  # ln C is the chance level of its loss only
            model: Any = self.model
            identities = model.output.shape[-1]
            chance = float(np.log(identities))
            state += f", chance is ln {identities} = {chance:.3f}"
            stuck = abs(loss - chance) < STUCK_LOSS and epoch + 1 == FIRST_EPOCHS
        when = f"{self._net}, epoch {epoch + 1}" if self._net else f"epoch {epoch + 1}"
        if died := find_death(signals):
            self._dead = True
            self.report(f"{when}: {died}; {state}. {advise(self._recipe)}")
        elif stuck:
            spread = signals[-1].spread
            self._warn(
                f"{when}: alive, but it has not begun to learn: its answers differ by "
                f"{spread:.0e} from image to image; {state}. {advise(self._recipe)}"
            )

    def report(self, finding: str) -> None:
        """Records a finding, and then ends the training or prints a warning.

        Raises:
            NetIsDead: if the guard was created with `stop`.
        """
        if self._stop:
            self._keep(finding)
            raise NetIsDead(finding)
        self._warn(finding)

    def _warn(self, finding: str) -> None:
        self._keep(finding)
        tqdm.write(f"guard: {finding}", file=sys.stderr)

    def _keep(self, finding: str) -> None:
        self.findings.append(finding)
        if self._log and self._log.parent.is_dir():
            write_text(self._log, "\n".join(self.findings) + "\n")


def make_guards(
    nets: Mapping[str, keras.Model],
    images: NDArray[np.uint8],
    labels: NDArray[np.int32],
    loss: keras.losses.Loss,
    recipe: Recipe,
    *,
    mode: str,
    out: Path,
) -> list[Guard]:
    """Creates a guard for each net of a run.

    Args:
        nets: the nets by name.
        images: uint8 [B, S, S, 3] of several identities; the first 32 are inspected.
        labels: int32 [B].
        loss: the loss that the nets minimise.
        recipe: the recipe of the nets, for the advice.
        mode: stop, to end the training of a dead net; warn, to only report it; off, for no guards.
        out: folder of the run. guard.txt is written there, or in `out/<net>` if there are several
            nets.
    """
    if mode == "off":
        return []
    guards: list[Guard] = []
    for name, net in nets.items():
        log = (out if len(nets) == 1 else out / name) / "guard.txt"
        if not epochs_done(out):
            log.unlink(missing_ok=True)  # left by a run that was stopped in its first epoch
        inspector = LayerInspector(net, images[:INSPECTED_IMAGES], labels[:INSPECTED_IMAGES], loss)
        beside = name if len(nets) > 1 else ""
        guards.append(Guard(inspector, recipe, stop=mode == "stop", log=log, net=beside))
    return guards


def findings_of(guards: Sequence[Guard]) -> list[str]:
    """Returns the findings of all guards of a run."""
    return [finding for guard in guards for finding in guard.findings]


def find_death(signals: list[LayerSignal]) -> str | None:
    """Returns how a net died and in which layer; None if it is not dead.

    Args:
        signals: the signals from `LayerInspector.inspect`, from the first layer to the last.
    """
    if not all(np.isfinite(s.rms) for s in signals):
        broken = next(s for s in signals if not np.isfinite(s.rms))
        return f"{broken.layer} has outputs that are not finite"
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
    """Returns what to change in a recipe whose net died.

    The advice combines changes: in the ablation hardly any single change was enough.
    """
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
        advice.append("check the images and their labels (python -m training check)")
    return f"Change: {', and '.join(advice)}. docs/why-vgg-does-not-learn.md compares them"
