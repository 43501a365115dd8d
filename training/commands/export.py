"""Exports a trained net as models_store/<net>/<version>/, which the service loads."""

from dataclasses import dataclass, field
from pathlib import Path

from app.matching.calibration import calibrate
from app.nets.manifest import versions
from app.palm.views import probe_views
from training.database.image_files import default_scratch
from training.database.palms import load_palms
from training.database.split import load_split, split_strangers
from training.fit.verdict import Verdict
from training.versions.read import compare


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """Exports a trained net as a new version. A net takes up to ten minutes on two cores.

    The version takes effect when `fuse` has written fusion.json. This command needs the TensorFlow
    backend; the weights may come from a training on any backend.

    Attributes:
        run: folder of a run of `train`, `pretrain` or `finetune`, or of a version such as
            models_store/vgg16/2. The net of a version is exported again without training: for any
            database if it was only pre-trained, else for its own database.
        data: folder of the database whose identities the net will know. If the run was trained on
            it, it is read and split as in the training.
        strangers: folder of palms of identities that are not in `data`, in any layout. The first
            half of the identities calibrates the thresholds; the second half is for `evaluate`.
        store: the models store.
        version: number of the version, at least 1; by default one more than the highest.
        scratch: folder of the temporary file for decoded images; by default $TMPDIR if set, else
            /var/tmp.
    """

    run: Path
    data: Path
    strangers: Path
    store: Path = Path("models_store")
    version: int | None = None
    scratch: Path = field(default_factory=default_scratch)


def export(config: ExportConfig) -> Verdict:
    """Writes a version, whole or not at all.

    Raises:
        FileExistsError: if the version exists.
        training.versions.write.ExportMismatch: if the SavedModel differs from the trained net.
        FileNotFoundError: if `run` is neither a run nor a version.
        ValueError: if the run cannot be exported, or it was trained on another database.
    """
    # Imported here, so that --help does not load TensorFlow.
    from training.versions.source import Source
    from training.versions.write import describe, embed, fit_prototypes, write_version

    source = Source.open(config.run)
    target = _target(config, source.net)  # fails early if the version exists
    options = source.reading_options(config.data, config.scratch)
    split = load_split(options)
    source.require_same_data(split.train.sha256, config.data)
    strangers, _ = split_strangers(
        load_palms(config.strangers, options.size_px, scratch=config.scratch)
    )
    net = source.load(len(split.train.identities), options.size_px)
    prototypes = fit_prototypes(net, split.train)
    genuine, impostors = (
        compare(embed(net, palms, probe_views), prototypes, net.name)
        for palms in (split.validation, strangers)
    )
    calibration = calibrate(genuine, split.validation.labels, impostors)
    correct = int((genuine.argmax(axis=1) == split.validation.labels).sum())
    manifest = describe(
        net,
        int(target.name),
        split,
        calibration,
        training=source.shared_settings,
        database=config.data.resolve().name,
        correct=correct,
    )
    write_version(target, net, manifest, prototypes, split.validation)
    return Verdict(
        target,
        f"{correct:,} of {len(genuine):,} validation images are identified correctly; the version "
        "takes effect when `fuse` has written fusion.json",
    )


def _target(config: ExportConfig, net: str) -> Path:
    if config.version is not None and config.version < 1:
        raise ValueError(f"--version must be at least 1, not {config.version}")
    version = config.version or max(versions(config.store, net), default=0) + 1
    target = config.store / net / str(version)
    if target.exists():
        raise FileExistsError(
            f"{target} exists, and versions cannot be changed: choose another --version"
        )
    return target
