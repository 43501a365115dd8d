"""Every route and every kind of problem, by both clients, against a running service."""

import asyncio
import inspect
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import palm_vein_client
import pytest
from palm_vein_client import AsyncPalmClient, PalmClient, calls, errors
from palm_vein_client.call import Call

from clients.write_models import DOCUMENT
from tests.app.api.conftest import load_only, make_app, make_settings, png
from tests.app.api.test_batch import BROKEN, HeldNet
from tests.app.live import live

ARGUMENTS: dict[str, Any] = {
    "subject_id": "{subject_id}",
    "new_id": "x",
    "other": "x",
    "erasure_id": "{erasure_id}",
    "key_id": "{key_id}",
    "number": "{number}",
    "images": b"x",
    "image": b"x",
    "name": "x",
    "scopes": [],
}


def document() -> dict[str, Any]:
    return json.loads(DOCUMENT.read_text())


def builders() -> dict[str, Callable[..., Call[Any]]]:
    """Returns the functions that make requests, by name."""
    return {
        name: function
        for name, function in vars(calls).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and function.__module__ == calls.__name__
        and str(inspect.signature(function).return_annotation).count("Call[")
    }


def example(build: Callable[..., Call[Any]]) -> Call[Any]:
    needed = [
        name
        for name, one in inspect.signature(build).parameters.items()
        if one.default is one.empty and one.kind is not one.VAR_KEYWORD
    ]
    return build(**{name: ARGUMENTS[name] for name in needed})


def test_each_route_has_a_method_and_each_method_a_route() -> None:
    made = {(one.method, one.path) for one in map(example, builders().values())}
    asked = {(method, re.sub("%7B(.*?)%7D", r"{\1}", path)) for method, path in made}
    routes = {(m.upper(), path) for path, ms in document()["paths"].items() for m in ms}
    assert routes == asked
    assert [name for name in builders() if not hasattr(PalmClient, name)] == []


def test_each_field_and_parameter_of_a_route_can_be_sent() -> None:
    source = inspect.getsource(calls)
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            names = {one["name"] for one in operation.get("parameters", [])}
            for media in operation.get("requestBody", {}).get("content", {}).values():
                form = media["schema"]["$ref"].rsplit("/", 1)[1]
                names |= document()["components"]["schemas"][form]["properties"].keys()
            for name in names:
                spoken = re.search(rf"\b{re.escape(name)}\b", source, re.IGNORECASE)
                assert spoken, (method, path, name)


def test_each_kind_of_problem_has_an_exception_of_its_own() -> None:
    kinds = {
        (value["type"], value["status"])
        for methods in document()["paths"].values()
        for operation in methods.values()
        for response in operation["responses"].values()
        for media in response.get("content", {}).values()
        for value in [one["value"] for one in media.get("examples", {}).values()]
        if "type" in value
    }
    assert len(kinds) > 40
    found = [
        type(errors.ProblemError.of({"type": kind, "title": "t"}, status, None))
        for kind, status in kinds
    ]
    assert errors.ProblemError not in found
    assert len(set(found)) == len(kinds)


def test_a_person_s_life_in_the_gallery(client: PalmClient, tmp_path: Path) -> None:
    files = [png(9), tmp_path / "2.png", BytesIO(png(9, 2))]
    (tmp_path / "2.png").write_bytes(png(9, 1))
    assert client.identify(png(9)).decision == "no_match"
    until = datetime.now(UTC) + timedelta(days=9)
    done = client.enroll(
        "ada", files, name="Ada", hand="left", metadata={"desk": "4"}, retain_until=until
    )
    assert done.subject.retain_until is not None
    assert client.identify(png(9, 3), explain=True).explanation
    assert client.identify([png(9, 3), png(9, 4)]).identity == done.subject
    assert client.verify("ada", png(9, 3)).decision == "match"
    assert client.inspect(png(9), draw=True).drawing

    before = client.show_subject("ada")
    after = client.change_subject("ada", etag=before.etag, name="Ada L.", retain_until=None)
    assert after is not None
    assert (after.name, after.metadata, after.retain_until) == ("Ada L.", {"desk": "4"}, None)
    with pytest.raises(errors.SubjectChanged):
        client.change_subject("ada", etag=before.etag, name="Eve")
    assert client.change_subject("ada", etag=after.etag, hand="right").hand == "right"  # pyright: ignore[reportOptionalMemberAccess]

    first, *_ = client.list_templates("ada").templates
    assert client.erase_template("ada", first.number).erased == "template"
    assert client.rename_subject("ada", "ada-left").subject.subject_id == "ada-left"
    client.enroll("ada-2", png(9, 5), force=True, hand="right")
    assert client.merge_subjects("ada-left", "ada-2").receipt.erased == "subject"
    assert len(client.export_subject("ada-left").templates) == 3
    assert sum(one.subjects for one in client.list_collections().collections) == 4
    receipt = client.erase_subject("ada-left")
    assert client.show_erasure(receipt.erasure_id).erasure_id == receipt.erasure_id
    with pytest.raises(errors.SubjectUnknown, match="ada-left"):
        client.show_subject("ada-left")


def test_what_the_service_tells_of_itself(client: PalmClient) -> None:
    assert client.live().status == "alive"
    assert client.ready().subjects == 3
    assert [one.net for one in client.list_models().nets] == ["alexnet", "vgg16", "vgg19"]
    assert client.show_site().report is None
    assert client.reload_models().nets == ["alexnet/1", "vgg16/1", "vgg19/1"]
    assert "# HELP" in client.metrics()


def test_keys_and_what_each_may_do(client: PalmClient, url: str) -> None:
    admin = client.create_key("admin", ["admin"])
    with pytest.raises(errors.KeyMissing):
        client.list_subjects()
    with PalmClient(url, admin.api_key) as other:
        reader = other.create_key("door", ["verify"], collections=["staff"])
        assert [one.name for one in other.list_keys().keys] == ["admin", "door"]
        with PalmClient(url, reader.api_key) as door:
            assert door.show_caller().scopes == ["verify"]
            with pytest.raises(errors.ScopeMissing):
                door.list_keys()
        newest, older = other.show_audit(limit=2).lines
        assert (newest.status, newest.route) == (403, "/v1/keys")
        assert (older.status, older.route) == (200, "/v1/caller")
        assert newest.number > older.number
        assert not other.show_audit(before=older.number, route="/v1/caller").lines
        assert other.revoke_key(reader.key_id).name == "door"
        with PalmClient(url, reader.api_key) as door, pytest.raises(errors.KeyRefused):
            door.verify("p001", png(1))


def test_a_problem_says_what_was_wrong(client: PalmClient) -> None:
    with pytest.raises(errors.RequestInvalid) as refused:
        client.list_subjects(limit=0)
    problem = refused.value
    assert (problem.status, problem.title) == (422, "Invalid request")
    assert [one.field for one in problem.errors] == ["limit"]
    assert "limit" in problem.detail
    assert problem.request_id
    with pytest.raises(errors.ImageUnreadable):
        client.identify(BROKEN)


def test_pages_are_read_as_one_list(client: PalmClient, url: str) -> None:
    ids = [one.subject_id for one in client.iterate_subjects(limit=2)]
    assert ids == ["p001", "p002", "p003"]
    assert [one.subject_id for one in client.iterate_subjects(origin="enrolled")] == []

    async def read() -> list[str]:
        async with AsyncPalmClient(url) as other:
            return [one.subject_id async for one in other.iterate_subjects(limit=2)]

    assert asyncio.run(read()) == ids


def test_the_asynchronous_client_answers_alike(client: PalmClient, url: str) -> None:
    async def ask() -> tuple[Any, ...]:
        async with AsyncPalmClient(url) as other:
            with pytest.raises(errors.SubjectUnknown):
                await other.verify("nobody", png(1))
            found, seen = await asyncio.gather(
                other.identify(png(1, 1)), other.show_subject("p001")
            )
            lines = [line async for line in other.identify_batch([png(1, 1), BROKEN])]
            return found, seen, lines

    found, seen, lines = asyncio.run(ask())
    assert found.candidates == client.identify(png(1, 1)).candidates
    assert seen == client.show_subject("p001")
    assert {line.index: bool(line.problem) for line in lines} == {0: False, 1: True}


def test_a_batch_s_results_come_one_by_one(tmp_path: Path) -> None:
    net = HeldNet()
    with live(make_app(make_settings(tmp_path), load_only(net))) as server:
        url = f"http://127.0.0.1:{server.config.port}"
        with PalmClient(url) as client:
            lines = client.identify_batch([png(1), png(2)])
            net.pass_on.release()
            first = next(lines)  # while the net holds the second palm
            net.pass_on.release()
            both = [first, *lines]
            # A palm that the net held until it lost patience has a problem.
            assert [(line.index, line.problem) for line in both] == [(0, None), (1, None)]

        async def ask() -> list[tuple[int, Any]]:
            async with AsyncPalmClient(url) as other:
                seen: list[tuple[int, Any]] = []
                net.pass_on.release()
                async for line in other.identify_batch([png(1), png(2)]):
                    seen.append((line.index, line.problem))
                    net.pass_on.release()
                return seen

        assert asyncio.run(ask()) == [(0, None), (1, None)]


def test_an_id_is_one_part_of_a_path() -> None:
    assert calls.show_subject("../keys?a#b").path == "/v1/subjects/..%2Fkeys%3Fa%23b"


def test_the_key_is_shown_nowhere(client: PalmClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secret = "palm_" + "s" * 40
    with PalmClient("http://127.0.0.1:1", secret, retries=NEVER) as other:
        shown = [repr(other), str(other)]
        with pytest.raises(errors.ConnectionFailed) as failed:
            other.ready()
        shown += [repr(failed.value), str(failed.value)]
    with pytest.raises(ValueError, match="line ends") as wrong:
        PalmClient(api_key=secret + "\n")
    assert secret not in " ".join([*shown, str(wrong.value), caplog.text])


NEVER = palm_vein_client.Retries(attempts=1)


def test_a_request_s_repr_shows_no_image_and_no_name() -> None:
    shown = repr(calls.enroll("ada", b"image", name="Ada Lovelace"))
    assert not [word for word in ("image'", "Lovelace") if word in shown]


def test_what_is_no_image_is_refused_before_it_is_sent(client: PalmClient, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no image"):
        client.identify([])
    with pytest.raises(FileNotFoundError):
        client.identify(tmp_path / "absent.png")
    text = tmp_path / "text.png"
    text.write_text("x")
    wrong: Any = text.open()
    with wrong, pytest.raises(TypeError, match="rb"):
        client.identify(wrong)
