"""Trains nets to distinguish palms, on synthetic images that are each used once.

Every net learns an embedding and a vein map of each palm, in the same steps.
"""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from training.database.image_files import default_scratch
from training.fit.options import NetName, RunOptions, require_at_least
from training.fit.verdict import Verdict
from training.nets.recipe import LOSS_SHIFT, Recipe, require_valid
from training.synthetic.pairs import SERVED_PX
from training.synthetic.styles import HELD_OUT, TRAINING

UNSEEN_SEED = 3_000_003
"""Seed of the images for prototypes and whitening; no epoch draws with it."""

STAGE_STEP = 10_000_019
"""Difference between the seeds of two successive stages' images."""


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(RunOptions):
    """Trains nets to distinguish synthetic palms. AlexNet alone takes an hour on two cores.

    VGG16 takes 40 minutes to 6 hours, depending on the processor; a GPU trains all three nets in
    minutes (docs/training.md). The same command resumes a run that was stopped.

    Train against pairs first, and then from that run against prototypes: training is faster against
    pairs, and prototypes separate more similar palms. Nets that are named together are trained on
    the same images, each as if it were alone, and each has its own folder in the run's folder.
    `export` then writes a version that knows the identities of a database; `finetune` adapts a
    version to a database.

    Attributes:
        nets: nets to train.
        start: folder to start from: of a run of the same nets (before its whitening), or of a
            version of one net, such as models_store/vgg16/12.
        against: what an image is compared with. pairs: the other images of its batch; prototypes:
            one prototype for each palm.
        identities: number of synthetic palms, at least 2.
        pairs: pairs of images of each palm in an epoch, at least 1; every image is from a new
            session.
        batch_size: images in a training step, an even number of at least 4; it must divide among
            the devices.
        degrade: whether to degrade images more than a camera does: cover a part, blur, reduce the
            resolution, displace.
        zoom: whether the drawn cameras differ in scale.
        contrast_px: approximate side in px of the local contrast, at least 1.
        embedding_size: numbers in an embedding, at least 1.
        map_channels: channels of the vein map, an even number from 2 to 64.
        devices: one, or all devices of this machine, which share each batch.
        processes: number of processes that draw images in advance. 0 draws them between the
            training steps, which is best if the nets train on the same few cores.
        monitor: number of synthetic strangers, at least 2, for measuring the nets after every
            epoch.
        scratch: folder of the temporary file for drawn palms; by default $TMPDIR if set, else
            /var/tmp.
        learning_rate: Adam's peak learning rate, above 0.
        scale: factor from similarity to logit, above 0.
        margin: similarity by which the true identity must win, from 0 to 1.
        map_scale: factor from similarity to logit for vein maps, above 0. Maps are always compared
            with the other maps of the batch.
        map_margin: similarity by which the palm's other map must win, from 0 to 1.
        map_shift: largest shift in places at which maps are compared, at least 0.
    """

    nets: tuple[NetName, ...] = ("alexnet", "vgg16", "vgg19")
    start: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    against: Literal["pairs", "prototypes"] = "pairs"
    identities: int = 10_000
    pairs: int = 1
    batch_size: int = 64
    degrade: bool = True
    zoom: bool = True
    contrast_px: int = 112
    embedding_size: int = 256
    map_channels: int = 16
    devices: Literal["one", "all"] = "one"
    processes: int = 0
    monitor: int = 250
    scratch: Path = field(default_factory=default_scratch)
    learning_rate: float = 1e-3
    scale: float = 24.0
    margin: float = 0.15
    map_scale: float = 24.0
    map_margin: float = 0.2
    map_shift: int = LOSS_SHIFT


def pretrain(config: PretrainConfig, callbacks: Sequence[Any] = ()) -> Verdict:
    """Trains nets on synthetic palms, or resumes a run, and writes the run's folder.

    Args:
        config: options of the command.
        callbacks: Keras callbacks that are called before the run's own.

    Raises:
        ValueError: if an option is out of range, or `out` holds a run with other settings.
        NetIsDead: if a guard stopped the training.
        OSError: if the drawn palms do not fit into scratch.
    """
    # Imported here, so that --help does not load TensorFlow. JAX trains without TensorFlow.
    import keras

    from training.fit.checkpoint import FINAL, Checkpoint, epochs_done, load_best, save_weights
    from training.fit.devices import device_count, distribute, require_divisible, use_precision
    from training.fit.guard import make_guards
    from training.fit.loop import fit, rows_of
    from training.fit.monitors import measure_strangers, monitored_strangers, open_set_monitors
    from training.fit.outputs import layer_outputs
    from training.fit.plan import Plan
    from training.fit.result import RESULT, conclude
    from training.fit.settings import resolve_settings, write_settings
    from training.fit.start import go_on_from, require_start, stage_after
    from training.nets.build import (
        build_net,
        embedding_model,
        scoring_model,
        select_outputs,
        working_side,
    )
    from training.nets.losses import MarginLoss, PairLoss, ShiftLoss
    from training.nets.whitening import whiten
    from training.synthetic.palms import draw_palms, start_processes
    from training.synthetic.stream import PalmStream

    _require_sensible(config)
    recipe, prototypes = _recipe(config), config.against == "prototypes"
    require_valid(recipe)
    if config.start:
        require_start(config.start, config.nets, recipe)
    with distribute(config.devices):
        require_divisible(config.batch_size, device_count())
    stage = stage_after(config.start)
    chosen = asdict(recipe) | asdict(config) | {"command": "pretrain", "stage": stage}
    settings = resolve_settings(chosen, config.out)
    done = epochs_done(config.out)
    if done == config.epochs and all((config.out / name / RESULT).exists() for name in config.nets):
        return _verdict(config.out, config.nets)

    # Data: each palm is drawn once, and photographed again for every batch
    keras.utils.set_random_seed(config.seed)
    side_px = working_side(config.nets[0], recipe, SERVED_PX)
    palms = draw_palms(config.identities, config.seed, config.scratch)
    monitored = {
        name: monitored_strangers(config.monitor, style, side_px)
        for name, style in (("val", TRAINING), ("held_out", HELD_OUT))
    }
    stage_seed = STAGE_STEP * stage
    with start_processes(config.processes) if config.processes else nullcontext() as pool:
        stream = partial(
            PalmStream,
            palms,
            batch_size=config.batch_size,
            side_px=side_px,
            degraded=config.degrade,
            zoomed=config.zoom,
            pool=pool,
        )
        batches = partial(stream, pairs=config.pairs, seed=config.seed + stage_seed)
        pair_of_each = partial(stream, pairs=1, seed=UNSEEN_SEED + stage_seed)

        # Nets
        def build(identities: int) -> dict[str, keras.Model]:
            names = config.nets
            return {net: build_net(net, identities, recipe, input_px=side_px) for net in names}

        with use_precision(settings["precision"]), distribute(config.devices):
            nets = build(config.identities if prototypes else 1)
            if config.start:
                templates_from = pair_of_each(epoch=0) if prototypes else None
                go_on_from(config.start, nets, templates_from, resumed=done > 0)
            answer = "similarity" if prototypes else "embedding"
            trained = {name: select_outputs(net, answer, "map") for name, net in nets.items()}
            kept = {
                config.out / name: select_outputs(net, "embedding", "map")
                for name, net in nets.items()
            }
            loss = (MarginLoss if prototypes else PairLoss)(config.scale, config.margin)
            of_maps = ShiftLoss(config.map_scale, config.map_margin, config.map_shift)
            losses = {answer: loss, "map": of_maps}
            # Without the pool, which would draw further batches that nobody uses.
            images, labels = batches(epoch=done, pool=None)[0]
            guarded_part = scoring_model if prototypes else embedding_model
            guarded = {name: guarded_part(net) for name, net in nets.items()}
            guards = make_guards(
                guarded, images, labels, loss, recipe, mode=config.guard, out=config.out
            )

            # Fit
            for name in config.nets:
                write_settings({**settings, "net": name}, config.out / name)
            write_settings(settings, config.out)
            monitors = open_set_monitors(nets, monitored, config.batch_size)
            rows = fit(
                trained,
                batches,
                losses,
                Plan.of(recipe, config.epochs),
                seed=config.seed,
                callbacks=[*callbacks, *monitors, *guards],
                checkpoint=Checkpoint(config.out, parts=kept),
            )

        # Whiten on images that no epoch used, and conclude
        with use_precision(settings["precision"]):
            nets = build(1)
            for name, net in nets.items():
                load_best(select_outputs(net, "embedding", "map"), config.out / name)
            features, _ = layer_outputs(nets, "dense_norm", pair_of_each(epoch=1))
            for name, net in nets.items():
                whiten(net, features[name].reshape(-1, 2, features[name].shape[1]))
                own = rows_of(name, config.nets, rows)
                figures = {
                    "monitor": {"identities": config.monitor, "sessions": 2, "shots": 2},
                    "last": own[-1],
                    "whitened": measure_strangers(net, monitored),
                    "images": len(own) * 2 * config.identities * config.pairs,
                }
                whitened = select_outputs(net, "embedding", "map")
                save_weights(whitened, config.out / name / FINAL)
                conclude(config.out / name, {**settings, "net": name}, own, figures)
    return _verdict(config.out, config.nets)


def _require_sensible(config: PretrainConfig) -> None:
    options = asdict(config)
    require_at_least(options, identities=2, monitor=2, epochs=1, pairs=1)
    require_at_least(options, processes=0, contrast_px=1, seed=0, map_shift=0)
    if config.batch_size < 4 or config.batch_size % 2:
        raise ValueError(
            f"--batch-size must be an even number of at least 4, not {config.batch_size}"
        )


def _recipe(config: PretrainConfig) -> Recipe:
    """Returns the shipped recipe with the chosen values, without augmentation of its own."""
    return Recipe(
        augment="none",
        dropout=0.0,  # every image is used once, so the net cannot overfit to single images
        contrast_px=config.contrast_px,
        embedding_size=config.embedding_size,
        map_channels=config.map_channels,
        learning_rate=config.learning_rate,
        scale=config.scale,
        margin=config.margin,
        map_scale=config.map_scale,
        map_margin=config.map_margin,
    )


def _verdict(out: Path, nets: Sequence[str]) -> Verdict:
    """Reads the nets' results and returns their error rates after whitening."""
    from training.fit.result import RESULT

    sentences: list[str] = []
    for net in nets:
        result = json.loads((out / net / RESULT).read_text())
        val, held_out = (result["whitened"][prefix] for prefix in ("val", "held_out"))
        sentences.append(
            f"{net} {val['eer']:.2%} ({held_out['eer']:.2%} in held-out style), "
            f"maps {val['map_eer']:.2%} ({held_out['map_eer']:.2%})"
        )
    return Verdict(out, f"equal error rates on synthetic strangers: {'; '.join(sentences)}.")
