"""Trains the net that finds the palm in a photograph of a hand, on drawn hands."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from app.nets.finder_manifest import read_finder_manifest
from training.database.image_files import default_scratch
from training.finder.runs import read_run
from training.fit.options import require_at_least
from training.fit.verdict import Verdict

AVERAGED = 0.995
"""Share of the weights' running mean that a step keeps: a mean over about 200 steps."""

LEAST_CERTAINTY = 0.5
"""Certainty from which a hand counts as found while the net is trained; `export-finder` measures
another."""


@dataclass(frozen=True, kw_only=True)
class TrainFinderConfig:
    """Trains the net that finds the palm in a photograph. About 50 minutes on two cores.

    The net learns from drawn hands of the style for tuning, each seen in four views, from drawn
    crops, and from images of neither. `export-finder` then writes a version for the service.

    Attributes:
        out: folder of the run, created if missing. The same command resumes the run in it.
        start: folder of a run to start from, trained on other images: give another seed. Or of a
            version, such as models_store/finder/4.
        epochs: number of epochs, at least 1. The learning rate falls to 0 over all of them.
        images: views in an epoch, at least one batch; every view is new.
        batch_size: views in a training step, a multiple of 20.
        side_px: side of a view, a multiple of 32, at least 32.
        palms: number of drawn palms that take turns in the hands, at least 1.
        processes: number of processes that draw views in advance. 0 draws them between the
            training steps.
        monitor: number of hands, at least 1, on which the finder is measured after every epoch.
        learning_rate: Adam's peak learning rate, above 0.
        precision: number format of the computation. auto: mixed_bfloat16 if it is faster on this
            machine, else float32.
        seed: seed of the weights and the images, at least 0.
        scratch: folder of the temporary file for drawn palms; by default $TMPDIR if set, else
            /var/tmp.
    """

    out: Path
    start: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    epochs: int = 24
    images: int = 16_000
    batch_size: int = 80
    side_px: int = 160
    palms: int = 400
    processes: int = 1
    monitor: int = 200
    learning_rate: float = 2e-3
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "float32"
    seed: int = 1
    scratch: Path = field(default_factory=default_scratch)


def train_finder(config: TrainFinderConfig, callbacks: Sequence[Any] = ()) -> Verdict:
    """Trains the net, or resumes a run, and writes the run's folder.

    Args:
        config: options of the command.
        callbacks: Keras callbacks that are called before the run's own.

    Raises:
        ValueError: if an option is out of range, `out` holds a run with other settings, or `start`
            is no run with an epoch.
        OSError: if the drawn palms do not fit into scratch.
    """
    # Imported here, so that --help does not load TensorFlow.
    import keras

    from training.finder.figures import FinderMonitor, draw_images
    from training.finder.losses import losses
    from training.finder.net import build_finder, require_side
    from training.finder.stream import SampleStream
    from training.fit.average import RunningMean
    from training.fit.checkpoint import Checkpoint, epochs_done, read_history
    from training.fit.devices import use_precision
    from training.fit.loop import fit
    from training.fit.plan import Plan
    from training.fit.settings import resolve_settings, write_settings
    from training.synthetic.palms import draw_palms, start_processes

    _require_sensible(config)
    require_side(config.side_px)
    settings = resolve_settings(asdict(config) | {"command": "train-finder"}, config.out)
    if epochs_done(config.out) == config.epochs:
        return _verdict(config, read_history(config.out)[-1])
    keras.utils.set_random_seed(config.seed)
    with use_precision(settings["precision"]):
        net = build_finder(config.side_px)
        averaged = build_finder(config.side_px)
    if config.start and not epochs_done(config.out):
        load_start(net, config.start, config.side_px)
    palms = draw_palms(config.palms, config.seed, config.scratch)
    images = draw_images(config.monitor)
    write_settings(settings, config.out)
    with start_processes(config.processes) if config.processes else nullcontext() as pool:
        batches = partial(
            SampleStream,
            palms,
            batches=config.images // config.batch_size,
            batch_size=config.batch_size,
            side_px=config.side_px,
            seed=config.seed,
            pool=pool,
        )
        rows = fit(
            {"finder": net},
            batches,
            losses(),
            Plan(epochs=config.epochs, learning_rate=config.learning_rate, averaged=AVERAGED),
            seed=config.seed,
            callbacks=[
                *callbacks,
                RunningMean(averaged),
                FinderMonitor(averaged, images, LEAST_CERTAINTY),
            ],
            checkpoint=Checkpoint(config.out, parts={config.out: averaged}),
        )
    return _verdict(config, rows[-1])


def load_start(net: Any, start: Path, side_px: int) -> None:
    """Sets the weights of a finder's net to those of a run or of a version.

    Args:
        net: a net from `training.finder.net.build_finder`, not folded.
        start: folder of a run of `train-finder`, or of a version.
        side_px: side of the net's views.

    Raises:
        ValueError: if it is neither, or its views have another side.
        app.nets.files.NetCorrupt: if a file of the version is damaged.
    """
    from training.fit.checkpoint import load_best
    from training.fit.start import is_version
    from training.versions.finder import read_finder_net
    from training.versions.read import copy_body

    version = is_version(start)
    settings = read_finder_manifest(start).training if version else read_run(start, "--from")
    if settings["side_px"] != side_px:
        raise ValueError(
            f"--from {start} has --side-px {settings['side_px']}, not {side_px}: give "
            f"--side-px {settings['side_px']}"
        )
    if version:
        copy_body(read_finder_net(start), net)
    else:
        load_best(net, start)


def _require_sensible(config: TrainFinderConfig) -> None:
    from training.finder.samples import SHEET

    options = asdict(config)
    require_at_least(options, epochs=1, palms=1, processes=0, monitor=1, seed=0)
    if config.batch_size < SHEET or config.batch_size % SHEET:
        raise ValueError(f"--batch-size must be a multiple of {SHEET}, not {config.batch_size}")
    require_at_least(options, images=config.batch_size)
    if config.learning_rate <= 0:
        raise ValueError(f"--learning-rate must be above 0, not {config.learning_rate}")


def _verdict(config: TrainFinderConfig, row: dict[str, float]) -> Verdict:
    """Returns the figures of the last epoch."""
    figures = {name: row[f"val_{name}"] for name in ("within_3", "within_10", "hand_right")}
    close, near, told = (f"{value:.1%}" for value in figures.values())
    return Verdict(
        config.out,
        f"of {config.monitor:,} drawn hands, {close} have all gaps within 3 % of the palm's width, "
        f"{near} within 10 %; {told} are told left or right; {row['val_crop_right']:.1%} of the "
        f"crops and {row['val_nothing_right']:.1%} of the images of neither are recognised.",
    )
