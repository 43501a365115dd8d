"""Whose palm images show is checked before they are enrolled or compared as one."""

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.app.api.conftest import assert_problem, enroll, identify, palm, png, verify
from tests.app.conftest import encode


def templates(client: TestClient, subject_id: str) -> int:
    counts = client.get(f"/v1/subjects/{subject_id}").json()["template_counts"]
    return max(counts.values(), default=0)


def test_images_of_two_palms_are_not_enrolled_as_one(client: TestClient) -> None:
    answer = enroll(client, "ada", png(50), png(50, 1), png(51), png(50, 2), png(51, 1))
    assert_problem(answer, 422, "do not show one palm", "image 3: ", "image 5: ")
    assert "image 2: " not in answer.json()["detail"]
    assert client.get("/v1/subjects/ada").status_code == 404


def test_images_belong_together_through_others(client: TestClient) -> None:
    first, last = palm(50).astype(float), palm(51).astype(float)
    steps = [encode((first + t * (last - first)).astype(np.uint8)) for t in np.linspace(0, 0.6, 4)]
    assert_problem(enroll(client, "ada", steps[0], steps[-1]), 422, "image 2: ")
    assert enroll(client, "ada", *steps).status_code == 201


def test_another_s_palm_is_not_added_to_a_subject(client: TestClient) -> None:
    enroll(client, "ada", png(50))
    answer = enroll(client, "ada", png(51), add="true")
    assert_problem(answer, 422, "do not show the palm of subject 'ada'", "score")
    assert templates(client, "ada") == 1
    assert enroll(client, "ada", png(50, 1), add="true").status_code == 201
    assert enroll(client, "ada", png(51), add="true", force="true").status_code == 201
    assert templates(client, "ada") == 3


@pytest.mark.parametrize(("seed", "known"), [(50, "ada"), (2, "p002")])
def test_a_palm_is_not_enrolled_twice_unless_it_is_forced(
    client: TestClient, seed: int, known: str
) -> None:
    enroll(client, "ada", png(50))
    answer = enroll(client, "bob", png(seed, 7))
    assert_problem(answer, 409, f"this palm is enrolled as {known!r}", "force=true")
    assert client.get("/v1/subjects/bob").status_code == 404
    assert enroll(client, "bob", png(seed, 7), force="true").status_code == 201


def test_a_subject_keeps_its_hand(client: TestClient) -> None:
    enroll(client, "ada", png(50), hand="left")
    answer = enroll(client, "ada", png(50, 1), add="true", hand="right")
    assert_problem(answer, 409, "'ada' is a left hand")
    assert enroll(client, "ada", png(50, 1), add="true", hand="left").status_code == 201
    assert enroll(client, "ada", png(50, 2), add="true").json()["subject"]["hand"] == "left"


def test_probes_of_two_palms_get_no_answer(shared_client: TestClient) -> None:
    for answer in (
        identify(shared_client, png(2, 5), png(3, 5)),
        verify(shared_client, "p002", png(2, 5), png(3, 5)),
    ):
        assert_problem(answer, 422, "do not show one palm", "image 2: ")
    both = identify(shared_client, png(2, 5), png(2, 6)).json()
    assert both["identity"]["subject_id"] == "p002"
