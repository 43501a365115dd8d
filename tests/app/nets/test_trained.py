"""templates.npz: what is read back, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.nets.files import NetCorrupt
from app.nets.manifest import read_manifest
from app.nets.store import load_nets
from app.nets.trained import read_trained, write_trained
from tests.app.nets.conftest import seal

Arrays = dict[str, Any]


def test_templates_are_read_as_they_were_written(exported: Path, tmp_path: Path) -> None:
    manifest = read_manifest(exported / "toy/1")
    trained = read_trained(exported / "toy/1", manifest)
    assert trained.counts.tolist() == [2, 2, 2, 2]

    write_trained(tmp_path, trained)

    found = read_trained(tmp_path, manifest)
    np.testing.assert_array_equal(found.owners, trained.owners)
    np.testing.assert_array_equal(found.maps.values, trained.maps.values)
    np.testing.assert_array_equal(found.maps.usable, trained.maps.usable)


def forget_an_identity(arrays: Arrays) -> None:
    arrays["owners"][arrays["owners"] == 3] = 2


def add_an_identity(arrays: Arrays) -> None:
    arrays["owners"][0] = 4


def cut_a_place(arrays: Arrays) -> None:
    arrays["values"] = arrays["values"][:, 1:]


def store_floats(arrays: Arrays) -> None:
    arrays["values"] = np.full(arrays["values"].shape, np.nan, np.float32)


def lose_a_template(arrays: Arrays) -> None:
    arrays["usable"] = arrays["usable"][1:]


def lose_all(arrays: Arrays) -> None:
    arrays.update({name: array[:0] for name, array in arrays.items()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (forget_an_identity, "each of the 4 identities, and of no other: it has 3"),
        (add_an_identity, "of no other: it has 5"),
        (cut_a_place, r"int8 \(8, 7, 8, 4\).*, not int32 \(8,\), int8 \(8, 8, 8, 4\)"),
        (store_floats, "float32"),
        (lose_a_template, r"bool \(7, 8, 8\)"),
        (lose_all, "it has 0"),
        (lambda arrays: arrays["scales"].fill(np.nan), "scales that are not finite"),
        (lambda arrays: arrays["scales"].fill(0), "or not above 0"),
        (lambda arrays: arrays.pop("owners"), "cannot be read"),
    ],
)
def test_templates_that_do_not_fit_the_manifest_are_corrupt(
    models_dir: Path, change: Callable[[Arrays], object], message: str
) -> None:
    path = models_dir / "toy/1/templates.npz"
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)
    seal(path.parent)

    with pytest.raises(NetCorrupt, match=rf"templates\.npz .*{message}.*export the net again"):
        load_nets(models_dir, ["toy"], "openvino")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_archive_is_corrupt(models_dir: Path, content: bytes) -> None:
    path = models_dir / "toy/1/templates.npz"
    path.write_bytes(content)
    seal(path.parent)

    with pytest.raises(NetCorrupt, match=r"templates\.npz cannot be read"):
        load_nets(models_dir, ["toy"], "openvino")


def test_templates_of_other_identities_than_the_manifest_s_are_corrupt(models_dir: Path) -> None:
    seal(models_dir / "toy/1", identities=["p001"])

    with pytest.raises(NetCorrupt, match="each of the 1 identities"):
        load_nets(models_dir, ["toy"], "openvino")
