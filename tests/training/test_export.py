"""What export and evaluate refuse; what they write is in tests/contract."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from training.artefact import _require_same_split
from training.data import Palms
from training.export import ExportConfig, _options_of, export
from training.split import split_palms


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "paper"}, "paper's head, which gives no embedding.*--head embedding"),
        ({"split": "identity"}, "split by identity.*--split session or seed"),
    ],
)
def test_run_that_cannot_serve_is_refused(
    settings: dict[str, str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"net": "vgg16", **settings}))
    with pytest.raises(ValueError, match=message):
        export(ExportConfig(run=tmp_path, data=tmp_path, strangers=tmp_path))


def test_export_reads_and_splits_as_the_training_did(tmp_path: Path) -> None:
    config = ExportConfig(run=tmp_path, data=tmp_path / "moved", strangers=tmp_path)
    reading = {"layout": "casia", "classes": "person", "size_px": 96, "split": "seed"}
    run = {"net": "vgg16", "data": "/elsewhere", "bands": [940], "split_seed": 7, **reading}
    options = _options_of(run, config)
    assert {name: getattr(options, name) for name in reading} == reading
    assert (options.data, options.bands, options.split_seed) == (tmp_path / "moved", (940,), 7)
    assert _options_of({"net": "vgg16"}, config).split == "auto"  # a run of an earlier version


def artefact(**dataset: Any) -> Any:
    return SimpleNamespace(key="vgg16/1", dataset=dataset)


def test_a_net_is_not_judged_on_its_training_pictures(make_palms: Callable[..., Palms]) -> None:
    palms = make_palms(4, sessions=3, shots=10)
    by_session, by_seed = (split_palms(palms, by=by, seed=5) for by in ("session", "seed"))
    trained = {"sha256": palms.sha256, "split": "seed", "split_seed": 5}
    _require_same_split(artefact(**trained), by_seed)
    _require_same_split(artefact(sha256="of more pictures"), by_session)  # an earlier version's
    with pytest.raises(
        ValueError, match=r"vgg16/1 .* by seed, seed 5, and this is one by session:"
    ):
        _require_same_split(artefact(**trained), by_session)
    with pytest.raises(ValueError, match=r"by seed, seed 6, and .* by seed, seed 5:"):
        _require_same_split(artefact(**{**trained, "split_seed": 6}), by_seed)
    with pytest.raises(ValueError, match="trained on other pictures"):
        _require_same_split(
            artefact(**trained), replace(by_seed, test=replace(by_seed.test, sha256=""))
        )
