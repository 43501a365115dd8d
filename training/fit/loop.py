"""The training loop: one function for train, pretrain, finetune and ablate."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from tqdm.keras import TqdmCallback

from training.fit.batches import Dataset
from training.fit.checkpoint import Checkpoint, History
from training.fit.devices import adam
from training.fit.plan import Plan, Plateau


def fit(
    nets: Mapping[str, keras.Model],
    batches: Callable[..., Dataset],
    loss: keras.losses.Loss | Mapping[str, keras.losses.Loss],
    plan: Plan,
    *,
    seed: int,
    accuracy: bool = False,
    validation: Dataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint: Checkpoint | None = None,
) -> list[dict[str, float]]:
    """Trains nets for the epochs of a plan that are not done yet.

    Several nets learn from the same batches, each as if it were alone: the loss is the sum of their
    losses, so each net gets the gradient of its own loss. The loss of a net with several outputs is
    the sum of their losses.

    With a checkpoint, a training that was stopped resumes where it stopped. It ends with exactly
    the weights of a training that was not stopped, if a batch depends only on the seed, the epoch
    and its index.

    Args:
        nets: the nets by name, each from images to the input of the loss, or to a dict of inputs of
            several losses.
        batches: creates the training batches; called with `epoch=`, the first epoch, from 0.
        loss: the loss that each net minimises; for nets with several outputs, a loss for each
            output by its name.
        plan: epochs and learning rates.
        seed: seed of dropout and of augmentation inside the nets.
        accuracy: also report the share of images with the right label, weighted as the loss is.
        validation: batches of the validation part; adds `val_loss` and, with
            `accuracy`, `val_accuracy` to the rows.
        callbacks: called in this order; what they add to an epoch's logs is written to its row.
        checkpoint: saves the state after every epoch; None saves nothing.

    Returns:
        The rows of history.csv, one for each epoch: `epoch` from 1, `loss`, `accuracy` if
        asked for, `learning_rate` and `seconds`. For several nets also `<net>_loss` and, if asked
        for, `<net>_accuracy`. For several outputs also `<output>_loss`, or `<net>_<output>_loss`.

    Raises:
        KeyboardInterrupt: if interrupted; the checkpoint then has weights that can be loaded.
    """
    history = checkpoint or History()
    done = len(history.rows)
    model: Any = _side_by_side(nets)
    names = _output_names(nets, loss)
    for phase in plan.phases():
        if phase.end <= done:
            continue
        first = max(phase.first, done)
        epoch_batches = _shared(batches(epoch=first), names)
        _set_frozen(nets.values(), phase.frozen)
        model.compile(
            optimizer=adam(plan.rates(phase, len(epoch_batches)), plan.clip_norm, plan.averaged),
            loss=_losses(loss, nets),
            weighted_metrics=_metrics(nets) if accuracy else None,
        )
        # Without this, TensorFlow traces a step twice.
        model.optimizer.build(model.trainable_variables)
        if checkpoint and 0 < done == first:
            checkpoint.restore(model, with_optimizer=done > phase.first)
        plateau = [Plateau(history.rows)] if plan.schedule == "plateau" else []
        bar = TqdmCallback(verbose=1, initial=first)
        try:
            model.fit(
                epoch_batches,
                initial_epoch=first,
                epochs=phase.end,
                validation_data=None if validation is None else _shared(validation, names),
                callbacks=[
                    _SumLosses(nets, loss),
                    Reseed(seed),
                    bar,
                    *plateau,
                    *callbacks,
                    history,
                ],
                shuffle=False,  # the batches shuffle by their own seed
                verbose=0,
            )
        except KeyboardInterrupt:
            if checkpoint:
                checkpoint.keep_something(model)
            raise
    return history.rows


def rows_of(
    net: str, nets: Iterable[str], rows: Iterable[Mapping[str, float]]
) -> list[dict[str, float]]:
    """Returns the rows of one of several nets, with `<net>_loss` as `loss` and so on.

    Args:
        net: name of the net.
        nets: names of all nets that were trained together.
        rows: the rows from `fit`.
    """
    others = tuple(f"{name}_" for name in nets)
    return [
        {name: value for name, value in row.items() if not name.startswith(others)}
        | {
            name.removeprefix(f"{net}_"): value
            for name, value in row.items()
            if name.startswith(f"{net}_")
        }
        for row in rows
    ]


class Reseed(keras.callbacks.Callback):
    """Makes dropout and augmentation depend only on the seed and the epoch.

    Keras does not save its random states with the weights, so a resumed run would differ.
    """

    def __init__(self, seed: int) -> None:
        """Creates the callback with the run's seed."""
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Sets every random state of the model."""
        model: Any = self.model
        for index, state in enumerate(model.non_trainable_variables):
            if "seed_generator_state" in state.path:
                words = np.random.SeedSequence([self._seed, epoch, index]).generate_state(2)
                state.assign(words.astype(state.dtype))


class _SumLosses(keras.callbacks.Callback):
    """Adds `<net>_loss` to the logs of several nets: the sum of the losses of a net's outputs."""

    def __init__(self, nets: Iterable[str], loss: Any) -> None:
        super().__init__()
        self._nets = tuple(nets)
        self._outputs = tuple(loss) if isinstance(loss, Mapping) else ()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None or len(self._nets) == 1 or not self._outputs:
            return
        for net in self._nets:
            parts = [logs[f"{_beside(net, output)}_loss"] for output in self._outputs]
            logs[f"{net}_loss"] = sum(parts)


class _SharedBatches(keras.utils.PyDataset):
    """Batches with the same labels for several outputs, by the outputs' names."""

    def __init__(self, batches: Dataset, outputs: Iterable[str]) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=8)
        self._batches, self._outputs = batches, tuple(outputs)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        images, *targets = self._batches[index]  # labels and any weights
        return images, *(dict.fromkeys(self._outputs, target) for target in targets)

    def on_epoch_end(self) -> None:
        self._batches.on_epoch_end()


def _shared(batches: Dataset, outputs: Sequence[str]) -> Dataset:
    return _SharedBatches(batches, outputs) if outputs else batches


def _side_by_side(nets: Mapping[str, keras.Model]) -> keras.Model:
    """Returns one model of all nets, whose outputs have the names of `_beside`."""
    first: Any = next(iter(nets.values()))
    if len(nets) == 1:
        return first
    images = keras.Input(first.input.shape[1:], dtype="uint8", name="images")
    outputs: dict[str, Any] = {}
    for name, net in nets.items():
        found: Any = net(images)
        parts = found if isinstance(found, dict) else {None: found}
        outputs |= {_beside(name, part): value for part, value in parts.items()}
    return keras.Model(images, outputs)


def _beside(net: str, output: str | None) -> str:
    """Returns the name of a net's output beside other nets; None is the only output."""
    return f"{net}_{output}" if output else net


def _output_names(nets: Mapping[str, keras.Model], loss: Any) -> list[str]:
    """Returns the names of the outputs of `_side_by_side`; none if there is only one."""
    outputs = list(loss) if isinstance(loss, Mapping) else []
    if len(nets) == 1:
        return outputs
    return [_beside(net, output) for net in nets for output in outputs or [None]]


def _losses(loss: Any, nets: Mapping[str, keras.Model]) -> Any:
    """Returns the losses for the model of `_side_by_side`."""
    if len(nets) == 1 or not isinstance(loss, Mapping):
        return loss
    return {_beside(net, output): one for net in nets for output, one in loss.items()}


def _metrics(nets: Iterable[str]) -> Any:
    """Returns metrics for the model of `_side_by_side`.

    Objects, because Keras creates metrics from names in the first step, which is then traced twice.
    """
    metrics = {net: [keras.metrics.SparseCategoricalAccuracy("accuracy")] for net in nets}
    return metrics if len(metrics) > 1 else next(iter(metrics.values()))


def _set_frozen(nets: Iterable[keras.Model], frozen: bool) -> None:
    for net in nets:
        for layer in net.layers:
            if isinstance(layer, keras.layers.Conv2D):
                layer.trainable = not frozen
