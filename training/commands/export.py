"""Turns a trained net into models_store/<net>/<version>/: the contract with the service.

Needs the TensorFlow backend; the weights may come from a training on any backend.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from app.matching.similarity import similarities
from app.palm.views import probe_views, template_views
from training.database.image_files import default_scratch
from training.database.palms import DataOptions, Palms, load_palms
from training.database.split import Split, load_split, split_strangers
from training.fit.checkpoint import BEST, FINAL
from training.fit.start import is_version, read_settings
from training.metrics.calibration import Calibration, calibrate
from training.metrics.open_set import mean_templates
from training.nets.build import build_net, embedding_model, fold, scoring_model
from training.nets.recipe import recipe_of
from training.versions.read import SCHEMA_VERSION, Views, checksum, embed_views
from training.versions.saved_model import write_golden, write_saved_model
from training.versions.shipped import at_side, load_shipped

GOLDEN_IMAGES = 3
READING = ("layout", "classes", "bands", "size_px", "split", "split_seed")
"""What of a run's configuration says how it read and split its database."""

OF_ONE_MACHINE = ("data", "out", "processes", "scratch", "start", "weights_file")
"""What of it is nobody else's business."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What `python -m training export` does; up to ten minutes a net on two cores.

    Attributes:
        run: folder of `python -m training train`, `pretrain` or `finetune`; or of a version, such
            as models_store/vgg16/2, whose net learns nothing: one that was pre-trained gets to know
            the identities of any database, any other one those of its own.
        data: the database whose identities the net is to know; one that the run was trained on is
            read and split as the run did it.
        strangers: palms of nobody in `data`, in any layout; the first half of them calibrates the
            thresholds, the second half is left to `evaluate`.
        store: models_store.
        version: version to write; by default one more than the highest.
        scratch: folder for the decoded images, in an unnamed file that ends with the process.
    """

    run: Path
    data: Path
    strangers: Path
    store: Path = Path("models_store")
    version: int | None = None
    scratch: Path = field(default_factory=default_scratch)


def export(config: ExportConfig) -> Path:
    """Writes one complete, immutable version.

    Returns:
        The version's folder.

    Raises:
        FileExistsError: if the version exists.
        ExportMismatch: if the reloaded artefact differs from the trained net.
        FileNotFoundError: if `run` is neither a run nor a version.
        ValueError: if the run has not ended, its net has no embedding, it was split by identity,
            or the database is no longer what it was trained on.
    """
    settings = read_settings(config.run)
    options = _options_of(settings, config)
    _require_ended(config.run, settings)
    _target(config, settings["net"])  # refuses before the work, not after it
    split = load_split(options)
    _require_same_data(settings, split, config)
    strangers = load_palms(config.strangers, options.size_px, scratch=options.scratch)
    known_strangers, _ = split_strangers(strangers)
    model = _load_folded(settings, len(split.train.identities), options.size_px, config.run)
    prototypes = _fit_prototypes(model, split.train)
    genuine, impostors = (
        similarities(embed(model, palms, probe_views), prototypes)
        for palms in (split.validation, known_strangers)
    )
    calibration = calibrate(genuine, split.validation.labels, impostors)
    accuracy = float((genuine.argmax(axis=1) == split.validation.labels).mean())
    target = _target(config, settings["net"])
    manifest = _manifest(model, target, split, calibration, settings, config.data)
    manifest["metrics"] = {"validation_accuracy": accuracy, "validation_images": len(genuine)}
    with _unfinished(target) as folder:
        _write(folder, model, prototypes, split.validation, manifest)
    return target


def _require_ended(run: Path, settings: dict[str, Any]) -> None:
    if not is_version(run) and not (run / _weights_of(settings)).exists():
        raise ValueError(
            f"{run} holds no {_weights_of(settings)}, so its training has not ended: give its "
            "command again"
        )


def _target(config: ExportConfig, net: str) -> Path:
    target = config.store / net / str(config.version or _next(config, net))
    if target.exists():
        raise FileExistsError(
            f"{target} exists and versions are immutable: choose another --version"
        )
    return target


def _write(
    folder: Path,
    model: keras.Model,
    prototypes: Float32,
    validation: Palms,
    manifest: dict[str, Any],
) -> None:
    """All files of a version; the manifest is the last, with the others' checksums and its own."""
    write_saved_model(model, manifest["temperature"], folder)
    np.save(folder / "prototypes.npy", prototypes.astype(np.float16))
    chosen = np.arange(GOLDEN_IMAGES) * (len(validation) // GOLDEN_IMAGES)
    golden = validation.images(chosen)
    write_golden(model, folder, np.repeat(golden[..., None], 3, axis=3))
    manifest["files"] = _checksums(folder)
    manifest["sha256"] = checksum(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def _weights_of(settings: dict[str, Any]) -> str:
    return BEST if settings.get("command", "train") == "train" else FINAL


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    """A folder that becomes `target` when all of it is written, and else is gone."""
    folder = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    try:
        yield folder
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _require_same_data(settings: dict[str, Any], split: Split, config: ExportConfig) -> None:
    """Trials drawn from other images would put training images into validation and test."""
    trained = settings.get("dataset_sha256")  # None: pre-trained; or of a release that said nothing
    if trained not in (None, split.train.sha256):
        raise ValueError(
            f"{config.data} is not what {config.run} was trained on: its images have the digest "
            f"{split.train.sha256[:12]}, not {trained[:12]}; give the --data of the training as it "
            "was, or train again"
        )


def _options_of(settings: dict[str, Any], config: ExportConfig) -> DataOptions:
    """How the run read and split its database; runs of earlier versions knew one way only."""
    if settings.get("head") == "paper":
        raise ValueError(
            f"{config.run} has the paper's head, which gives no embedding to enroll or compare: "
            "train with --head embedding"
        )
    if settings.get("split") == "identity":
        raise ValueError(
            f"{config.run} was split by identity: its net knows nobody it could be calibrated or "
            "judged on; train with --split session or seed"
        )
    known = {name: settings[name] for name in READING if name in settings}
    if "bands" in known:  # JSON has no tuples
        known["bands"] = tuple(known["bands"])
    return DataOptions(data=config.data, scratch=config.scratch, **known)


def embed(model: keras.Model, palms: Palms, views: Views) -> Float32:
    """Embeddings float32 [N, ..., D] of all images, in order; see `embed_views`."""
    return embed_views(
        lambda images: model(images, training=False)["embedding"],
        palms,
        views,
        f"{model.name}: embedding",
    )


def _load_folded(
    settings: dict[str, Any], identities: int, input_px: int, run: Path
) -> keras.Model:
    recipe = recipe_of(settings)
    # A training before this in the same process may have left bfloat16, which is too coarse.
    keras.config.set_dtype_policy("float32")
    if is_version(run):
        return at_side(load_shipped(run), input_px, identities)
    command = settings.get("command", "train")
    tuned = command == "finetune"  # from a folded net
    trained = build_net(settings["net"], identities, recipe, input_px=input_px, folded=tuned)
    # What a pre-training keeps is the embedder alone.
    learned = embedding_model(trained) if command == "pretrain" else scoring_model(trained)
    learned.load_weights(run / _weights_of(settings))
    return fold(trained, recipe)


def _fit_prototypes(model: keras.Model, train: Palms) -> Float32:
    """Every identity's mean training embeddings [C, 2, M, D], as enrolment has them.

    In the graph are those of the images as they lie. Calibrated as they are stored.
    """
    means = mean_templates(embed(model, train, template_views), train.labels, len(train.identities))
    prototypes = means.astype(np.float16).astype(np.float32)
    model.get_layer("similarity").set_weights([prototypes[:, 0, 0]])
    return prototypes


def _manifest(
    model: keras.Model,
    target: Path,
    split: Split,
    calibration: Calibration,
    settings: dict[str, Any],
    data: Path,
) -> dict[str, Any]:
    size = model.input.shape[1]
    return {
        "schema_version": SCHEMA_VERSION,
        "net": model.name,
        "version": int(target.name),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "input": {"height": size, "width": size, "channels": 3, "dtype": "uint8"},
        "embedding_size": model.get_layer("dense").units,
        "identities": list(split.train.identities),
        "prototypes_file": "prototypes.npy",
        **calibration.as_manifest(),
        "training": {k: v for k, v in settings.items() if k not in OF_ONE_MACHINE},
        "dataset": {
            "name": data.resolve().name,
            "sha256": split.train.sha256,
            "split": split.kind,
            "split_seed": split.seed,
            "training_images": len(split.train),
        },
        "code_revision": _code_revision(),
        "libraries": {name: library_version(name) for name in ("keras", "tensorflow", "numpy")},
    }


def _next(config: ExportConfig, net: str) -> int:
    present = [int(p.name) for p in (config.store / net).glob("*") if p.name.isdecimal()]
    return max(present, default=0) + 1


def _checksums(folder: Path) -> dict[str, str]:
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in paths}


def _code_revision() -> str:
    """The commit that this code is of, or "unknown" outside a checkout."""
    root = Path(__file__).parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
