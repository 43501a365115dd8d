"""Sources of an export: a finished run, or another version."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras

from training.database.palms import DataOptions
from training.fit.checkpoint import FINAL
from training.fit.start import is_version, read_settings
from training.nets.build import build_net, fold, select_outputs
from training.nets.recipe import recipe_of
from training.versions.read import Version

READING = ("layout", "classes", "bands", "size_px", "roi", "finder", "split", "split_seed")
"""Settings of a run for reading and splitting its database."""

MACHINE_SPECIFIC = ("data", "finder", "out", "processes", "scratch", "start", "weights_file")
"""Settings of one machine, omitted from the manifest."""


@dataclass(frozen=True, slots=True)
class Source:
    """A trained net with an embedding head.

    Attributes:
        folder: folder of a run of `train`, `pretrain` or `finetune`, or of a version.
        settings: settings that the net was trained with.
    """

    folder: Path
    settings: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Reads the settings of a run or a version; loads no weights.

        Raises:
            FileNotFoundError: if the folder is neither a run nor a version.
            ValueError: if it cannot be exported, or its training has not ended.
        """
        settings = read_settings(folder)
        if settings.get("head") == "paper":
            raise ValueError(
                f"{folder} has the paper's head, which gives no embedding to enroll or compare: "
                "train with --head embedding"
            )
        if settings.get("split") == "identity":
            raise ValueError(
                f"{folder} was split by identity, so its net knows no identity that could "
                "calibrate it: train with --split session or seed"
            )
        source = cls(folder, settings)
        if not is_version(folder) and not source._weights.exists():
            raise ValueError(
                f"{source._weights} is missing, so the training has not ended: run its command "
                "again"
            )
        return source

    @property
    def net(self) -> str:
        """The net's name."""
        return self.settings["net"]

    @property
    def shared_settings(self) -> dict[str, Any]:
        """The settings for the manifest: all that are not machine-specific."""
        return {
            name: value for name, value in self.settings.items() if name not in MACHINE_SPECIFIC
        }

    def reading_options(self, data: Path, scratch: Path) -> DataOptions:
        """Returns the options to read and split a database as the training did."""
        known = {name: self.settings[name] for name in READING if name in self.settings}
        if "bands" in known:  # JSON has no tuples
            known["bands"] = tuple(known["bands"])
        if "finder" in known:
            known["finder"] = Path(known["finder"])
        return DataOptions(data=data, scratch=scratch, **known)

    def require_same_data(self, sha256: str, data: Path) -> None:
        """Checks that a database is the one that the net was trained on.

        A split of another database might put training images into validation and test. A net that
        was pre-trained on synthetic palms can be exported for any database.

        Args:
            sha256: digest of the database.
            data: folder of the database.

        Raises:
            ValueError: if the digests differ.
        """
        trained = self.settings.get("dataset_sha256")
        if trained not in (None, sha256):
            raise ValueError(
                f"{data} is not the database that {self.folder} was trained on: its digest is "
                f"{sha256[:12]}, not {trained[:12]}; give the training's --data, or train again"
            )

    def load(self, identities: int, input_px: int) -> keras.Model:
        """Builds the net with plain convolutions, in float32, and loads its weights.

        Args:
            identities: number of prototypes. They are loaded only from a run of `train` or
                `finetune`, and random otherwise.
            input_px: side of the input images.
        """
        # A training in the same process may have set bfloat16, which is not precise enough.
        keras.config.set_dtype_policy("float32")
        if is_version(self.folder):
            return Version.open(self.folder).model(input_px, identities)
        recipe = recipe_of(self.settings)
        tuned = self._command == "finetune"  # which trains plain convolutions
        net = build_net(self.net, identities, recipe, input_px=input_px, folded=tuned)
        # A pre-training's prototypes are of synthetic palms and are not kept.
        pretrained = self._command == "pretrain"
        trained = select_outputs(net, "embedding", "map") if pretrained else net
        trained.load_weights(self._weights)
        return fold(net, recipe)

    @property
    def _command(self) -> str:
        return self.settings.get("command", "train")

    @property
    def _weights(self) -> Path:
        return self.folder / FINAL
