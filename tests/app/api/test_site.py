"""Calibration at the site, from enrolled palms to the thresholds of the service."""

import json
from contextlib import closing

import numpy as np
import pytest

from app.__main__ import main
from app.ensemble import Ensemble
from app.gallery.errors import GalleryUnusable
from app.maintenance import calibrate_site, describe_report, list_outdated, write_report
from app.matching.calibration import Calibration, Case, Threshold
from app.matching.fusion import Fusion
from app.settings import Settings
from app.site import SiteReport
from app.wiring import open_gallery
from tests.app.api.conftest import (
    Load,
    assert_problem,
    enroll,
    identify,
    load_toy_ensemble,
    local_client,
    make_app,
    png,
    toy_ensemble,
    verify,
)

TOO_LOW = Calibration((Case(False, 1, 1, 0.05, (Threshold(0.05, 1e-1), Threshold(0.1, 1e-2))),))


def loader(calibration: Calibration) -> Load:
    """Returns a loader of the toy nets, fused with a calibration."""
    ensemble = Ensemble(toy_ensemble().nets, Fusion((0.25, 0.25, 0.5), calibration))
    return lambda *_: ensemble


def calibrate(settings: Settings, load: Load) -> SiteReport:
    with closing(open_gallery(settings)) as gallery:
        ensemble = load(settings.models_dir, settings.nets, settings.engine)
        report, _ = calibrate_site(gallery, ensemble, may_lower=False)
        write_report(gallery, report, keep_raised=True)
    return report


@pytest.fixture
def enrolled(settings: Settings) -> Settings:
    """The settings of a gallery with seven enrolled subjects of two images each."""
    with local_client(make_app(settings)) as client:
        for seed in range(50, 57):
            assert enroll(client, f"e{seed}", png(seed), png(seed, 1)).status_code == 201
    return settings


def test_thresholds_that_are_too_low_for_the_site_are_raised_at_the_next_start(
    enrolled: Settings,
) -> None:
    low = loader(TOO_LOW)
    with local_client(make_app(enrolled, low)) as client:
        before = verify(client, "e50", png(50, 2)).json()["threshold"]["score"]
        assert client.get("/v1/site").json() == {
            "report": None,
            "used": False,
            "cameras": [],
        }
    report = calibrate(enrolled, low)
    assert report.rates[0].observed > 5 * report.rates[0].fmr
    with local_client(make_app(enrolled, low)) as client:
        shown = client.get("/v1/site").json()
        assert shown["used"]
        assert shown["report"] == report.model_dump(mode="json")
        after = verify(client, "e50", png(50, 2)).json()["threshold"]["score"]
        assert after == pytest.approx(before + report.rates[0].raised_by, abs=0.01)
        assert verify(client, "e50", png(51, 2)).json()["decision"] == "no_match"
        assert identify(client, png(50, 2)).json()["decision"] == "match"


def test_the_command_that_writes_a_calibration_is_audited(
    enrolled: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = enrolled.audit_file
    assert file is not None
    monkeypatch.setattr("app.__main__.read_settings", lambda: enrolled)
    monkeypatch.setattr("app.__main__.load_ensemble", loader(TOO_LOW))
    before = file.read_text()
    assert main(["calibrate"]) == 0
    assert file.read_text() == before
    assert main(["calibrate", "--write"]) == 0
    added = [json.loads(line) for line in file.read_text().removeprefix(before).splitlines()]
    assert [(one["action"], one["phase"]) for one in added] == [
        ("calibrate --write", "begun"),
        ("calibrate --write", "done"),
    ]
    file.rename(file.with_name("moved"))
    file.mkdir()
    assert main(["calibrate", "--write", "--force"]) == 2


def test_a_calibration_of_other_nets_is_not_used(
    enrolled: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    low = loader(TOO_LOW)
    calibrate(enrolled, low)
    nets = toy_ensemble().nets[:2]
    two = Ensemble(nets, Fusion((0.5, 0.5), TOO_LOW))
    with local_client(make_app(enrolled, lambda *_: two)) as client:
        assert not client.get("/v1/site").json()["used"]
        found = verify(client, "e50", png(50)).json()["threshold"]["score"]
    stated = TOO_LOW.at(1e-3, np.array([2]), probes=1, impostors=None)
    assert found == pytest.approx(stated.scores[0], abs=0.005)
    assert "is of other nets or thresholds and not used" in caplog.text


def test_suspects_are_named_to_the_operator_but_not_in_the_report(settings: Settings) -> None:
    with local_client(make_app(settings)) as client:
        for seed in range(50, 57):
            enroll(client, f"e{seed}", png(seed), png(seed, 1))
        enroll(client, "again", png(52), png(52, 3), force="true")
    with closing(open_gallery(settings)) as gallery:
        report, suspects = calibrate_site(gallery, toy_ensemble(), may_lower=False)
    text = describe_report(report, suspects)
    assert "e52 and again are probably one palm" in text
    assert report.suspect_pairs == 1
    assert "again" not in report.model_dump_json()


def test_too_few_subjects_cannot_calibrate(settings: Settings) -> None:
    with pytest.raises(ValueError, match="0 enrolled subjects"):
        calibrate(settings, load_toy_ensemble)


def test_a_damaged_report_is_a_problem(
    enrolled: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(open_gallery(enrolled)) as gallery:
        gallery.write_site_report('{"rates": 1}')
        assert list(list_outdated(gallery, toy_ensemble().formats)) == []
    with local_client(make_app(enrolled)) as client:
        assert_problem(identify(client, png(50)), 503, "the calibration at the site", "log")
    assert "python -m app calibrate --write" in caplog.text
    calibrate(enrolled, load_toy_ensemble)  # the advice helps
    with local_client(make_app(enrolled)) as client:
        assert client.get("/v1/site").json()["used"]


def test_outdated_subjects_are_listed_in_the_order_of_their_ids(enrolled: Settings) -> None:
    others = [net.format._replace(template_id="f" * 16) for net in toy_ensemble().nets]
    with closing(open_gallery(enrolled)) as gallery:
        assert list(list_outdated(gallery, others)) == [f"e{seed}" for seed in range(50, 57)]
        assert list(list_outdated(gallery, toy_ensemble().formats)) == []
    with pytest.raises(GalleryUnusable):
        open_gallery(enrolled.model_copy(update={"gallery_url": f"{enrolled.gallery_url}/nowhere"}))
