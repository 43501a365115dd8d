"""Trains one net on a folder of palms and keeps the weights of its best epoch."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
from matplotlib.figure import Figure
from tqdm.keras import TqdmCallback

from training.data import Batches, Split, as_colour, load_palms, split_by_session
from training.layers import MarginLoss
from training.nets import build_net


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What `python -m training train` does; docs/results.md says how long the defaults take.

    Attributes:
        net: one of `training.nets.NETS`.
        data: database of `<identity>/<session>/<picture>`.
        out: folder of the run: best.weights.h5, history.csv, history.png, config.json.
        epochs: passes over the training sessions.
        batch_size: pictures per step.
        learning_rate: peak of Adam's rate, reached after one epoch's warm-up, then a cosine to 0.
        scale: CosFace's scale.
        margin: CosFace's margin.
        precision: float32, mixed_bfloat16, or auto: bfloat16 where the machine gains by it.
        seed: of weights, order and augmentation.
    """

    net: str
    data: Path
    out: Path
    epochs: int = 16
    batch_size: int = 32
    learning_rate: float = 1e-3
    scale: float = 24.0
    margin: float = 0.15
    precision: str = "auto"
    seed: int = 1


def train(config: TrainConfig) -> keras.Model:
    """Trains a net and writes the run's folder.

    Returns:
        The net with the weights of the epoch whose validation accuracy was best.

    Raises:
        ValueError: if the net is unknown or the data cannot be split by session.
        FileNotFoundError: if there are no pictures.
    """
    split = split_by_session(load_palms(config.data))
    keras.utils.set_random_seed(config.seed)
    keras.config.set_dtype_policy(choose_precision(config.precision))
    model = build_net(config.net, len(split.train.identities))
    config.out.mkdir(parents=True, exist_ok=True)
    settings = json.dumps(asdict(config), default=str, indent=2)
    (config.out / "config.json").write_text(settings + "\n")
    _fit(keras.Model(model.input, model.output["similarity"]), split, config)
    model.load_weights(config.out / "best.weights.h5")
    return model


def _fit(model: keras.Model, split: Split, config: TrainConfig) -> None:
    batches = Batches(split.train, config.batch_size, config.seed)
    rate = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / 20,
        decay_steps=len(batches) * max(config.epochs - 1, 1),
        warmup_target=config.learning_rate,
        warmup_steps=len(batches),
    )
    model.compile(
        optimizer=keras.optimizers.Adam(rate, clipnorm=1.0),
        loss=MarginLoss(config.scale, config.margin),
        metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
    )
    history = model.fit(
        batches,
        epochs=config.epochs,
        validation_data=(as_colour(split.validation.images), split.validation.labels),
        validation_batch_size=64,
        callbacks=_callbacks(config.out),
        verbose=0,
    )
    plot_history(history.history, config.out / "history.png")


def _callbacks(out: Path) -> list[keras.callbacks.Callback]:
    return [
        TqdmCallback(verbose=1),
        keras.callbacks.ModelCheckpoint(
            out / "best.weights.h5", "val_accuracy", save_best_only=True, save_weights_only=True
        ),
        keras.callbacks.CSVLogger(out / "history.csv"),
    ]


def plot_history(history: dict[str, list[float]], target: Path) -> None:
    """Draws loss and accuracy of training and validation by epoch."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        epochs = range(1, len(history[metric]) + 1)
        axes.plot(epochs, history[metric], marker=".", label="training, with augmentation")
        axes.plot(epochs, history[f"val_{metric}"], marker=".", label="validation session")
        axes.set(xlabel="epoch", ylabel=metric)
        axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(target, dpi=120)


def choose_precision(asked: str) -> str:
    """Resolves `auto`: bfloat16 on a GPU or on a CPU with AMX, else float32.

    AVX512-BF16 without AMX is not enough: a VGG16 step took 32 ms an image in either precision.
    """
    if asked != "auto":
        return asked
    cpu = Path("/proc/cpuinfo")
    has_amx = cpu.exists() and "amx_bf16" in cpu.read_text()
    has_gpu = bool(keras.distribution.list_devices("gpu"))
    return "mixed_bfloat16" if has_amx or has_gpu else "float32"
