"""Named cameras over HTTP, and the calibration of one."""

from contextlib import closing
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.__main__ import main
from app.maintenance import calibrate_site, write_report
from app.settings import Settings
from app.wiring import open_gallery
from tests.app.api.conftest import (
    assert_problem,
    enroll,
    images,
    load_toy_ensemble,
    local_client,
    make_app,
    png,
    toy_ensemble,
)
from tests.app.api.test_site import TOO_LOW, loader


def verify_by(client: TestClient, camera: str | None, subject_id: str, *files: bytes) -> Any:
    data = {"subject_id": subject_id, **({"camera": camera} if camera else {})}
    return client.post("/v1/verify", data=data, files=images(*files))


def enroll_seven(settings: Settings, **fields: str) -> None:
    """Enrolls seven subjects of two images each."""
    with local_client(make_app(settings)) as client:
        for seed in range(50, 57):
            enrolled = enroll(client, f"e{seed}", png(seed), png(seed, 1), **fields)
            assert enrolled.status_code == 201


def test_enrolments_and_probes_may_name_a_camera(client: TestClient) -> None:
    assert enroll(client, "ada", png(50), camera="door-1").status_code == 201
    assert enroll(client, "ada", png(50, 1), add="true").status_code == 201
    path = "/v1/subjects/ada/templates"
    assert [one["camera"] for one in client.get(path).json()["templates"]] == ["door-1", None]
    data = {"camera": "door-1"}
    found = client.post("/v1/identify", data=data, files=images(png(50, 2))).json()
    assert found["identity"]["subject_id"] == "ada"
    assert verify_by(client, "door-1", "ada", png(50, 2)).json()["decision"] == "match"
    assert verify_by(client, "never-heard-of", "ada", png(50, 2)).json()["decision"] == "match"


@pytest.mark.parametrize("camera", ["Door", "-door", "a" * 65, "door 1", "d/1"])
def test_a_name_that_no_camera_may_have_is_refused(client: TestClient, camera: str) -> None:
    assert_problem(enroll(client, "ada", png(50), camera=camera), 422, "camera")
    answer = client.post("/v1/identify", data={"camera": camera}, files=images(png(50)))
    assert_problem(answer, 422, "camera")


def test_the_nets_page_shows_the_mean_map_of_each_camera(client: TestClient) -> None:
    for seed in range(20):
        assert enroll(client, f"e{seed}", png(200 + seed), camera="door").status_code == 201
    client.app.state.service.identifier._index.settle()  # type: ignore[attr-defined]
    shown = client.get("/v1/models").json()["gallery"]["mean_map"]
    (camera,) = shown["cameras"]
    assert (camera["camera"], camera["subjects"]) == ("door", 20)
    assert camera["impostors"]["deviation"] > 0


def test_a_calibration_raises_the_thresholds_of_its_camera_only(settings: Settings) -> None:
    enroll_seven(settings, camera="door")
    low = loader(TOO_LOW)
    with local_client(make_app(settings, low)) as client:
        before = verify_by(client, "door", "e50", png(50, 2)).json()["threshold"]["score"]
    with closing(open_gallery(settings)) as gallery:
        ensemble = low(settings.models_dir, settings.nets, settings.engine)
        with pytest.raises(ValueError, match="0 enrolled subjects"):
            calibrate_site(gallery, ensemble, may_lower=False)
        report, _ = calibrate_site(gallery, ensemble, may_lower=False, camera="door")
        write_report(gallery, report, keep_raised=True, camera="door")
    with local_client(make_app(settings, low)) as client:
        shown = client.get("/v1/site").json()
        assert (shown["report"], shown["used"]) == (None, False)
        (of_door,) = shown["cameras"]
        assert (of_door["camera"], of_door["used"]) == ("door", True)
        assert of_door["report"] == report.model_dump(mode="json")
        raised = verify_by(client, "door", "e50", png(50, 2)).json()["threshold"]["score"]
        assert raised == pytest.approx(before + report.rates[0].raised_by, abs=0.01)
        for other in (None, "gate"):
            kept = verify_by(client, other, "e50", png(50, 2)).json()["threshold"]["score"]
            assert kept == pytest.approx(before, abs=0.005)


def test_a_camera_without_a_calibration_has_the_thresholds_of_the_unnamed_one(
    settings: Settings,
) -> None:
    enroll_seven(settings)
    low = loader(TOO_LOW)
    with closing(open_gallery(settings)) as gallery:
        ensemble = low(settings.models_dir, settings.nets, settings.engine)
        report, _ = calibrate_site(gallery, ensemble, may_lower=False)
        write_report(gallery, report, keep_raised=True)
    with local_client(make_app(settings, low)) as client:
        found = {
            camera: verify_by(client, camera, "e50", png(50, 2)).json()["threshold"]["score"]
            for camera in (None, "gate")
        }
    stated = TOO_LOW.at(1e-3, np.array([2]), probes=1, impostors=None).scores[0]
    assert found[None] == found["gate"] > stated + 0.01


def test_a_camera_needs_a_mean_map_of_its_own_where_another_has_one(settings: Settings) -> None:
    with local_client(make_app(settings)) as client:
        for seed in range(20):
            assert enroll(client, f"e{seed}", png(200 + seed), camera="door").status_code == 201
        assert enroll(client, "ada", png(50), camera="gate").status_code == 201
    with (
        closing(open_gallery(settings)) as gallery,
        pytest.raises(ValueError, match=r"1 subjects were enrolled with camera gate, 20 .* door"),
    ):
        calibrate_site(gallery, toy_ensemble(), may_lower=False, camera="gate")


def test_the_command_calibrates_for_the_camera_that_it_is_given(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("app.__main__.read_settings", lambda: settings)
    monkeypatch.setattr("app.__main__.load_ensemble", load_toy_ensemble)
    enroll_seven(settings, camera="door")
    assert main(["calibrate"]) == 2
    assert main(["calibrate", "--write", "--camera", "door"]) == 0
    assert "7 enrolled subjects" in capsys.readouterr().out
    with closing(open_gallery(settings)) as gallery:
        assert list(gallery.site_reports()) == ["door"]
