"""What the service's own audit log tells a restore."""

import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.commands.backups import back_up, restore
from app.settings import Settings
from tests.app.api.conftest import assert_problem, enroll, identify, local_client, make_app, png


def bring_back(settings: Settings, file: Path, *, replace: bool = False) -> None:
    assert not restore(settings, file, None, replace=replace, logs=[], without_erasures=False)


def test_what_the_service_erased_or_revoked_is_left_out(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "a.palm"
    with local_client(make_app(settings)) as client:
        for seed, subject_id in enumerate(("ada", "bob", "carl", "dora"), start=50):
            enroll(client, subject_id, png(seed), png(seed, 1))
        back_up(settings, file, None)
        client.delete("/v1/subjects/ada")
        number = client.get("/v1/subjects/bob/templates").json()["templates"][0]["number"]
        client.delete(f"/v1/subjects/bob/templates/{number}")
        client.delete("/v1/subjects/carl/templates/999999")  # 404
        client.delete("/v1/subjects/p001")  # 409 without confirm
    for lost in tmp_path.glob("gallery.db*"):
        lost.unlink()
    bring_back(settings, file)
    with local_client(make_app(settings)) as client:
        subjects = client.get("/v1/subjects").json()["subjects"]
        found = [one["subject_id"] for one in subjects]
        assert found == ["carl", "dora", "p001", "p002", "p003"]
        assert identify(client, png(52)).json()["identity"]["subject_id"] == "carl"


KILLED = """
import os, sys
from pathlib import Path
from app.gallery.sql.moving import SqlRecords
from tests.app.api.conftest import local_client, make_app, make_settings

SqlRecords._purge = lambda *_: os._exit(9)  # after the commit, before the audit log's last line
with local_client(make_app(make_settings(Path(sys.argv[1])))) as client:
    client.post("/v1/subjects/ada/rename", json={"subject_id": "ida"})
"""


def test_a_rename_whose_last_line_a_kill_prevents_is_known_to_a_restore(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.palm"
    with local_client(make_app(settings)) as client:
        for seed, subject_id in enumerate(("ada", "bob", "eve"), start=50):
            enroll(client, subject_id, png(seed))
        back_up(settings, file, None)
        client.post("/v1/subjects/bob/rename", json={"subject_id": "bobby"})
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == 9
    with local_client(make_app(settings)) as client:
        assert client.delete("/v1/subjects/ida").status_code == 200
    for lost in tmp_path.glob("gallery.db*"):
        lost.unlink()
    bring_back(settings, file)
    told = capsys.readouterr().out
    assert "subjects left out, because they were erased after the backup: 1\n" in told
    assert "subjects as they were then, although they were renamed, or merged" in told
    assert "(rename and merge them again): 1\n" in told
    with local_client(make_app(settings)) as client:
        subjects = client.get("/v1/subjects?origin=enrolled").json()["subjects"]
        assert [one["subject_id"] for one in subjects] == ["bob", "eve"]


def test_a_revoked_key_stays_revoked(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "a.palm"
    keys: list[str] = []
    with local_client(make_app(settings)) as client:
        for _ in range(2):
            answer = client.post(
                "/v1/keys",
                json={"name": "door", "scopes": ["admin"]},
                headers={"Authorization": f"Bearer {keys[0]}"} if keys else {},
            )
            keys.append(answer.json()["api_key"])
        back_up(settings, file, None)
        authorized = {"Authorization": f"Bearer {keys[0]}"}
        client.delete(f"/v1/keys/{keys[1].split('_')[1]}", headers=authorized)
    for lost in tmp_path.glob("gallery.db*"):
        lost.unlink()
    bring_back(settings, file)
    with local_client(make_app(settings)) as client:
        states = [
            client.get("/v1/keys", headers={"Authorization": f"Bearer {key}"}).status_code
            for key in keys
        ]
        assert states == [200, 401]


def test_a_running_service_answers_503_after_a_restore(
    client: TestClient, settings: Settings, tmp_path: Path
) -> None:
    enroll(client, "ada", png(50))
    back_up(settings, tmp_path / "a.palm", None)
    bring_back(settings, tmp_path / "a.palm", replace=True)
    assert_problem(identify(client, png(50)), 503)
    assert client.get("/health/live").status_code == 200
    with local_client(make_app(settings)) as restarted:
        assert identify(restarted, png(50)).json()["identity"]["subject_id"] == "ada"
