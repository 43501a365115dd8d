"""The command from end to end on toy nets: what it writes, what it warns of, what it refuses."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.palm.views import probe_views, template_views
from training.__main__ import main
from training.benchmark.comparisons import Trials
from training.benchmark.matchers import Nets
from training.benchmark.report import as_markdown
from training.database.palms import Palms, load_palms
from training.metrics.calibration import Calibration
from training.metrics.open_set import is_template, mean_templates
from training.nets.build import build_net, scoring_model
from training.nets.recipe import PRESETS
from training.versions.fuse import checksum
from training.versions.read import Artefact, Views

SIZE_PX = 32


@pytest.fixture(scope="module")
def store(database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a toy net under two names, exported, and what fuses them."""
    folder = tmp_path_factory.mktemp("benchmark")
    run, store = folder / "run", folder / "store"
    run.mkdir()
    net = scoring_model(build_net("alexnet", 4, PRESETS["shipped"], input_px=SIZE_PX))
    net.save_weights(run / "best.weights.h5")
    settings = {"net": "alexnet", "data": str(database), "size_px": SIZE_PX, "split": "seed"}
    (run / "config.json").write_text(json.dumps(settings))
    places = ["--data", str(database), "--strangers", str(database), "--store", str(store)]
    assert main(["export", "--run", str(run), *places]) == 0
    # Another net by name is enough: what is fused is two columns of similarities.
    shutil.copytree(store / "alexnet", store / "vgg16")
    path = store / "vgg16/1/manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"net": "vgg16"}))
    calibration = Calibration.of(manifest).as_manifest()
    entry = {"nets": ["alexnet/1", "vgg16/1"], "weights": [0.75, 0.25], **calibration}
    fusion = {"schema_version": 1, "sha256": checksum([entry]), "fusions": [entry]}
    (store / "fusion.json").write_text(json.dumps(fusion))
    return store


def command(database: Path, store: Path, out: Path, *more: str) -> list[str]:
    places = ["--data", str(database), "--store", str(store), "--out", str(out)]
    return ["benchmark", *places, "--size-px", str(SIZE_PX), "--nets", "alexnet,vgg16", *more]


@pytest.fixture(scope="module")
def folder(database: Path, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes."""
    out = tmp_path_factory.mktemp("report") / "new" / "folder"
    assert main(command(database, store, out)) == 0
    return out


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    """What the JSON file holds."""
    return json.loads((folder / "benchmark.json").read_text())


def test_every_matcher_is_a_row_beside_the_classical_one(
    folder: Path, report: dict[str, Any]
) -> None:
    names = ["alexnet", "vgg16", "fused", "classical"]
    assert [one["name"] for one in report["matchers"]] == names
    assert sorted(p.name for p in folder.iterdir()) == [
        "benchmark.html",
        "benchmark.json",
        "benchmark.md",
    ]
    table = (folder / "benchmark.md").read_text()
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE) == ["matcher", *names]
    assert "too few comparisons" in table  # no FMR of 1e-2 from 72 comparisons
    assert "| not calibrated |" in table
    assert table == as_markdown(report)


def test_counts_are_those_of_the_database(report: dict[str, Any]) -> None:
    database = report["database"]
    # Four palms, three sessions, three shots: the first session is the template.
    expected = {"identities": 4, "persons": 4, "sessions": 3, "templates": 12, "probes": 24}
    assert {name: database[name] for name in expected} == expected
    assert database["templates_are"] == "each identity's first session"
    for one in report["matchers"]:
        assert (one["genuine_comparisons"], one["impostor_comparisons"]) == (24, 72)
        assert (one["rank_1"]["count"], one["rank_1"]["subjects"]) == (24, 4)
        assert one["cmc"][0] == pytest.approx(one["rank_1"]["value"])
        assert one["cmc"][-1] == 1  # among four identities it is one of four
        assert [gallery["size"] for gallery in one["open_set"]] == [3]
        shares = one["distributions"]
        assert sum(shares["genuine"]) == pytest.approx(1) == sum(shares["impostors"])
        assert all(rate is None for rate in one["fnmr"].values())


def test_a_net_that_was_trained_on_the_database_is_named(
    folder: Path, report: dict[str, Any]
) -> None:
    first = report["warnings"][0]
    trained = (
        "alexnet/1 was trained on images of this very database, or calibrated by them (4 of 4 "
    )
    assert first.startswith(trained)
    assert first in (folder / "benchmark.html").read_text().replace("&#39;", "'")
    assert f"**{first}.**" in (folder / "benchmark.md").read_text()


def test_the_page_is_whole_and_shows_no_image_and_no_name_of_a_person(
    folder: Path, report: dict[str, Any]
) -> None:
    page = (folder / "benchmark.html").read_text()
    assert "<svg" in page
    assert not re.search(r"(href|src)=\"(?!#)", page), "it needs nothing beside it"
    assert "<img" not in page
    page = re.sub(r"\bp[0-9a-f]{10}\b", "", page)  # clip paths of the plots have names by lot
    everything = page + (folder / "benchmark.md").read_text() + json.dumps(report)
    assert not re.search(r"p00[1-4]|\.png", everything)


def test_the_same_seed_writes_the_same_figures(
    database: Path, store: Path, tmp_path: Path, report: dict[str, Any]
) -> None:
    assert main(command(database, store, tmp_path, "--no-classical")) == 0
    again = json.loads((tmp_path / "benchmark.json").read_text())
    assert again["matchers"] == report["matchers"][:-1]


def test_a_template_is_what_enrolment_makes(database: Path, store: Path) -> None:
    palms = load_palms(database, SIZE_PX)
    artefact = Artefact(store / "alexnet/1")
    embeddings = artefact.embeddings(palms, template_views)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=-1), 1, atol=1e-5)
    templates = mean_templates(embeddings, palms.labels, len(palms.identities))
    own = embeddings[palms.labels == 2].mean(axis=0)
    expected = own / np.linalg.norm(own, axis=-1, keepdims=True)
    np.testing.assert_allclose(templates[2], expected, atol=1e-6)
    prototypes = np.load(store / "alexnet/1/prototypes.npy")
    probes = embeddings[:, :, 0]
    cosines = np.einsum("pvd,tvmd->ptvm", probes, prototypes)
    expected = cosines.max(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(artefact.similarities(palms), expected, atol=1e-5)
    assert (expected - cosines[..., 0].mean(axis=-1)).max() > 1e-3

    trials = Trials.of(palms, is_template(palms))
    own = mean_templates(
        embeddings[trials.templates], palms.labels[trials.templates], len(palms.identities)
    )
    cosines = np.einsum("pvd,tvmd->ptvm", probes[~trials.templates], own)
    first = next(Nets([artefact], store).compare(palms, trials, views=True))
    found = first.comparisons.similarities
    np.testing.assert_allclose(found, cosines.max(axis=-1).mean(axis=-1), atol=1e-5)


def test_the_fused_similarity_is_the_weighted_sum_of_the_nets(database: Path, store: Path) -> None:
    palms = load_palms(database, SIZE_PX)
    trials = Trials.of(palms, is_template(palms))
    artefacts = [Artefact(store / net / "1") for net in ("alexnet", "vgg16")]
    sound = artefacts[1].embeddings

    def otherwise(palms: Palms, views: Views) -> NDArray[np.float32]:
        found = sound(palms, views)[..., ::-1] * np.arange(256, dtype=np.float32)
        return found / np.linalg.norm(found, axis=-1, keepdims=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefacts[1], "embeddings", otherwise)
        *alone, fused = Nets(artefacts, store).compare(palms, trials, views=True)
    one, other = (matcher.comparisons.similarities for matcher in alone)
    assert np.abs(one - other).max() > 1e-3
    expected = 0.75 * one + 0.25 * other
    np.testing.assert_allclose(fused.comparisons.similarities, expected, atol=1e-6)


def test_without_the_views_images_are_compared_as_they_lie(
    database: Path, store: Path, tmp_path: Path, report: dict[str, Any]
) -> None:
    assert main(command(database, store, tmp_path, "--no-classical", "--no-views")) == 0
    still = json.loads((tmp_path / "benchmark.json").read_text())
    assert (report["database"]["views"], still["database"]["views"]) == (True, False)
    palms = load_palms(database, SIZE_PX)
    plain = Artefact(store / "alexnet/1").embeddings(palms, probe_views)[:, 0]
    gallery = is_template(palms)
    templates = mean_templates(plain[gallery], palms.labels[gallery], len(palms.identities))
    cosines = plain[~gallery] @ templates.T
    own = palms.labels[~gallery]
    hits = (cosines.argmax(axis=1) == own).mean()
    assert still["matchers"][0]["rank_1"]["value"] == pytest.approx(hits)
    assert still["matchers"][0]["reliability"] is None
    edges = still["matchers"][0]["distributions"]["edges"]
    assert edges[0] == pytest.approx(cosines.min(), abs=1e-4)


def test_a_net_of_another_release_is_refused(store: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(store / "alexnet/1", tmp_path / "alexnet/1"))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 2}))
    with pytest.raises(ValueError, match=r"alexnet/1 was exported by another release.*again"):
        Artefact(copy)


def no_version(store: Path, _: Path) -> list[str]:
    return ["--nets", "vgg19"]


def other_size(store: Path, _: Path) -> list[str]:
    return ["--size-px", "48"]


def not_fused(store: Path, _: Path) -> list[str]:
    (store / "fusion.json").unlink()
    return []


def one_image_each(_: Path, database: Path) -> list[str]:
    for image in database.glob("*/*/*"):
        if image.parent.name != "s1" or image.stem != "01":
            image.unlink()
    return []


def one_identity(_: Path, database: Path) -> list[str]:
    for folder in sorted(database.iterdir())[1:]:
        shutil.rmtree(folder)
    return []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_version, "vgg19 holds no version: export the net first"),
        (other_size, "alexnet/1 takes images of 32 px.*give --size-px 32"),
        (not_fused, "no entry for alexnet/1, vgg16/1: run `fuse` first"),
        (one_image_each, "none of 4 identities has a second image.*: add images$"),
        (one_identity, "identit"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_compared_is_one_line_and_exit_code_2_and_no_report(
    spoil: Any,
    message: str,
    database: Path,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = [Path(shutil.copytree(one, tmp_path / one.name)) for one in (store, database)]
    more = spoil(*places)
    capsys.readouterr()
    assert main(command(places[1], places[0], tmp_path / "report", *more)) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1].split("\r")[-1].strip()
    assert last.startswith("benchmark: ")
    assert re.search(message, last), last
    assert not (tmp_path / "report").exists()


def test_help_names_every_option_once_and_no_split(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["benchmark", "--help"])
    text = capsys.readouterr().out
    named = re.findall(r"^ {8}(\w+):", text, re.MULTILINE)
    assert {"data", "layout", "size_px", "scratch", "store", "nets", "seed", "out"} <= set(named)
    assert len(named) == len(set(named)), named
    assert "--split" not in text
