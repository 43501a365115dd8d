"""The command `palm`: identifies, verifies, inspects, enrolls and erases over the service."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from palm_vein_client.clients import LOCAL, PalmClient
from palm_vein_client.errors import PalmError, ProblemError, SubjectExists

MATCH, NOBODY, USAGE, REFUSED, UNSURE, NO_ANSWER = 0, 1, 2, 3, 4, 5
STATUSES = """exit status:
  0  match, a usable image, or done
  1  nobody: no_match
  2  the command or a file is wrong
  3  the service refused; for import, at least one person
  4  inconclusive: more than one subject fits
  5  the service was not reached, or its answer is not understood

environment:
  PALM_URL      the service; by default http://127.0.0.1:8000
  PALM_API_KEY  the API key; not needed on the service's own machine without keys"""
_DECISIONS = {"match": MATCH, "no_match": NOBODY, "inconclusive": UNSURE}
SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def run() -> None:
    """Runs the command and ends the process."""
    sys.exit(main())


def main(
    arguments: Sequence[str] | None = None,
    connect: Callable[[str, str | None], PalmClient] = PalmClient,
) -> int:
    """Runs one command.

    Args:
        arguments: the command line's; None takes those of the process.
        connect: makes the client from the URL and the key.

    Returns:
        The exit status, which --help explains.
    """
    chosen = _parser().parse_args(arguments)
    try:
        url = os.environ.get("PALM_URL") or LOCAL
        with connect(url, os.environ.get("PALM_API_KEY") or None) as client:
            return chosen.run(client, chosen)
    except ProblemError as error:
        print(f"palm: {error} [{error.status}, request {error.request_id}]", file=sys.stderr)
        return REFUSED
    except PalmError as error:
        print(f"palm: {error}", file=sys.stderr)
        return NO_ANSWER
    except BrokenPipeError:  # palm people | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        return MATCH
    except (OSError, ValueError) as error:
        print(f"palm: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 130  # as shells report SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="palm",
        description=__doc__,
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, run, text, options in (
        ("identify", _identify, "tell whose palm images show", ("images", "collection")),
        ("verify", _verify, "tell whether a palm is a subject's", ("subject_id", "images")),
        ("inspect", _inspect, "show how good an image is", ("image",)),
        ("enroll", _enroll, "store a person's palm", ("subject_id", "images", "enrolment")),
        ("import", _import, "enroll a folder of people, one folder each", ("folder", "enrolment")),
        ("export", _export, "write all that is kept of a subject, or of all", ("one_or_all",)),
        ("people", _people, "list the subjects", ("collection",)),
        ("erase", _erase, "erase a subject", ("subject_id", "confirm")),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(run=run)
        command.add_argument("--json", action="store_true", help="print JSON, one object a line")
        for option in options:
            _OPTIONS[option](command)
    return parser


def _add_enrolment(command: argparse.ArgumentParser) -> None:
    command.add_argument("--hand", choices=["left", "right"])
    command.add_argument("--collection", help="where new subjects belong")
    command.add_argument("--add", action="store_true", help="add images to enrolled subjects")
    if not command.prog.endswith("import"):
        command.add_argument("--name", help="the person's name")


def _add(*names: str, **options: Any) -> Callable[[argparse.ArgumentParser], object]:
    return lambda command: command.add_argument(*names, **options)


_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], object]] = {
    "subject_id": _add("subject_id", metavar="ID"),
    "one_or_all": _add("subject_id", metavar="ID", nargs="?"),
    "images": _add("images", metavar="IMAGE", nargs="+", help="image files of one palm"),
    "image": _add("image", metavar="IMAGE"),
    "folder": _add("folder", metavar="DIR", type=Path),
    "collection": _add("--collection", help="of this collection only"),
    "confirm": _add("--confirm", action="store_true", help="erase even a trained identity"),
    "enrolment": _add_enrolment,
}


def _show(answer: BaseModel, chosen: argparse.Namespace, *lines: str) -> None:
    text = answer.model_dump_json() if chosen.json else "\n".join(filter(None, lines))
    print(text, flush=True)


def _identify(client: PalmClient, chosen: argparse.Namespace) -> int:
    collections = [chosen.collection] if chosen.collection else []
    found = client.identify(chosen.images, collections=collections)
    who = found.identity.subject_id if found.identity else found.decision
    _show(found, chosen, f"{who}\tconfidence {found.confidence}", *found.warnings)
    return _DECISIONS[found.decision]


def _verify(client: PalmClient, chosen: argparse.Namespace) -> int:
    found = client.verify(chosen.subject_id, chosen.images)
    _show(found, chosen, f"{found.decision}\tconfidence {found.confidence}", *found.warnings)
    return _DECISIONS[found.decision]


def _inspect(client: PalmClient, chosen: argparse.Namespace) -> int:
    found = client.inspect(chosen.image)
    score = "" if found.quality is None else f"\tquality {found.quality.score} of 100"
    usable = "usable" if found.usable else "not usable"
    _show(found, chosen, usable + score, *found.advice, *found.warnings)
    return MATCH if found.usable else REFUSED


def _enrolment(chosen: argparse.Namespace) -> dict[str, Any]:
    names = ("hand", "collection", "add", "name")
    return {name: value for name in names if (value := getattr(chosen, name, None))}


def _enroll(client: PalmClient, chosen: argparse.Namespace) -> int:
    done = client.enroll(chosen.subject_id, chosen.images, **_enrolment(chosen))
    _show(done, chosen, f"{done.subject.subject_id}\tenrolled", *done.warnings)
    return MATCH


def _import(client: PalmClient, chosen: argparse.Namespace) -> int:
    """Enrolls each folder's images; one person's problem does not keep the others out."""
    people = sorted(path for path in chosen.folder.iterdir() if path.is_dir())
    if not people:
        raise ValueError(f"{chosen.folder} has no folders; it needs one for each person")
    refused = 0
    for person in people:
        outcome, detail = _import_one(client, chosen, person)
        refused += outcome == "refused"
        line = {"subject_id": person.name, "outcome": outcome, "detail": detail}
        text = json.dumps(line) if chosen.json else "\t".join(filter(None, line.values()))
        print(text, flush=True)
    return REFUSED if refused else MATCH


def _import_one(client: PalmClient, chosen: argparse.Namespace, person: Path) -> tuple[str, str]:
    images = sorted(file for file in person.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not images:
        return "refused", "no image in the folder"
    try:
        client.enroll(person.name, images, **_enrolment(chosen))
    except SubjectExists:  # so that an import that was stopped can be sent again
        return "exists", "use --add to add images"
    except ProblemError as error:
        if error.status in (401, 403, 429, 503):
            raise  # the next person would meet it too
        return "refused", str(error)
    return "enrolled", f"{len(images)} images"


def _export(client: PalmClient, chosen: argparse.Namespace) -> int:
    """Prints JSON in any case: there is no other form of an export."""
    for subject_id in [chosen.subject_id] if chosen.subject_id else _enrolled(client):
        print(client.export_subject(subject_id).model_dump_json(), flush=True)
    return MATCH


def _enrolled(client: PalmClient) -> Iterator[str]:
    return (one.subject_id for one in client.iterate_subjects(origin="enrolled"))


def _people(client: PalmClient, chosen: argparse.Namespace) -> int:
    for one in client.iterate_subjects(collection=chosen.collection):
        _show(one, chosen, "\t".join((one.subject_id, one.origin, one.name or "")).rstrip())
    return MATCH


def _erase(client: PalmClient, chosen: argparse.Namespace) -> int:
    receipt = client.erase_subject(chosen.subject_id, confirm=chosen.confirm)
    _show(receipt, chosen, f"{chosen.subject_id}\terased, receipt {receipt.erasure_id}")
    return MATCH


if __name__ == "__main__":
    run()
