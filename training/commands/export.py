"""Exports a trained net as models_store/<net>/<version>/, which the service loads."""

from dataclasses import dataclass, field
from pathlib import Path

from app.matching.maps import VeinMaps
from app.matching.scores import Cohort
from training.database.image_files import default_scratch
from training.database.palms import Palms
from training.database.split import load_split
from training.fit.verdict import Verdict
from training.versions.calibrate import StrangerMaps, calibrate_net, choose_cases, describe_cases
from training.versions.compare import compare_trained
from training.versions.strangers import choose_strangers, require_enough
from training.versions.target import target_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """Exports a trained net as a new version. A net takes up to half an hour on two cores.

    The version takes effect when `fuse` has written fusion.json. This command needs the TensorFlow
    backend; the weights may come from a training on any backend.

    Attributes:
        run: folder of a run of `train`, `pretrain` or `finetune`, or of a version such as
            models_store/vgg16/12. The net of a version is exported again without training: for any
            database if it was only pre-trained, else for its own database.
        data: folder of the database whose identities the net will know. If the run was trained on
            it, it is read and split as in the training.
        strangers: folders of palms of identities that are not in `data`, in any layout: one for
            each camera. They calibrate the thresholds; give `evaluate` others. Each
            identity needs two sessions: six images of the first and two of the second are used.
        store: the models store.
        version: number of the version, at least 1; by default one more than the highest.
        scratch: folder of the temporary file for decoded images; by default $TMPDIR if set, else
            /var/tmp.
    """

    run: Path
    data: Path
    strangers: tuple[Path, ...]
    store: Path = Path("models_store")
    version: int | None = None
    scratch: Path = field(default_factory=default_scratch)


def export(config: ExportConfig) -> Verdict:
    """Writes a version, whole or not at all.

    Raises:
        FileExistsError: if the version exists.
        training.versions.write.ExportMismatch: if the SavedModel differs from the trained net.
        FileNotFoundError: if `run` is neither a run nor a version.
        ValueError: if the run cannot be exported, it was trained on another database, or the
            strangers are too few or share an image with `data`.
    """
    # Imported here, so that --help does not load TensorFlow.
    from training.fit.prototypes import set_prototypes
    from training.versions.source import Source
    from training.versions.templates import compute_maps, round_weights, trained_templates
    from training.versions.write import describe, golden_pairs, write_version

    source = Source.open(config.run)
    # Fails early if the version exists.
    target = target_folder(config.store, source.net, config.version)
    options = source.reading_options(config.data, config.scratch)
    split = load_split(options)
    source.require_same_data(split.train.sha256, config.data)
    strangers = choose_strangers(config.strangers, split, options)
    kinds = choose_cases(strangers, require_enough(strangers, len(split.train.identities)))
    net = source.load(len(split.train.identities), options.size_px)
    set_prototypes(net, split.train)
    round_weights(net)
    trained = trained_templates(net, split.train)
    cohort = Cohort.of(trained)

    def scaled_maps(palms: Palms) -> VeinMaps:
        return cohort.scaled(compute_maps(net, palms))

    maps = StrangerMaps.of_cameras(strangers, scaled_maps, net.name)
    found = compare_trained(scaled_maps(split.validation), trained, net.name)
    correct = int((found.argmax(axis=1) == split.validation.labels).sum())
    manifest = describe(
        net,
        int(target.name),
        split,
        calibrate_net(maps, kinds),
        strangers=strangers,
        training=source.shared_settings,
        database=config.data.resolve().name,
        correct=correct,
    )
    write_version(target, net, manifest, trained, golden_pairs(strangers[0]))
    return Verdict(
        target,
        f"{correct:,} of {len(split.validation):,} validation images are identified correctly; "
        f"{describe_cases(kinds)}; the version takes effect when `fuse` has written fusion.json",
    )
