"""The command line of the import: `python -m app import PATH`."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO

from app.audit.log import AuditLog
from app.audit.pseudonyms import Pseudonyms
from app.commands.audit import command_event
from app.commands.import_plan import Planned, make_plan
from app.commands.import_sources import Source, open_source
from app.enrolment import HandDiffers, PalmKnown
from app.gallery.errors import (
    GalleryBusy,
    GalleryUnusable,
    SubjectAlike,
    SubjectExists,
    SubjectExpired,
    SubjectUnknown,
)
from app.gallery.gallery import Gallery
from app.gallery.outage import Outage
from app.identifier import Identifier
from app.maintenance import calibrated_at_site
from app.nets.finder_store import load_finder
from app.nets.store import load_ensemble
from app.palm.errors import PalmImageError
from app.palm.finder import Finder
from app.palm.limits import MIB
from app.settings import Settings
from app.wiring import (
    LoadEnsemble,
    make_inspector,
    open_ensemble,
    open_gallery,
    start_identifier,
)

MAX_IMAGES = 10
"""Images of a subject, as many as a request may enroll."""
PROGRESS_EVERY = 50  # subjects
INTERRUPTED = 130  # exit status, as shells give it

Outcome = Literal["enrolled", "exists", "refused", "failed"]


class Refused(Exception):
    """The images of a subject are not read, because there are too few, too many or too large."""


class Result(NamedTuple):
    """What became of one subject."""

    outcome: Outcome
    reason: str | None = None


class Importer:
    """Enrolls planned subjects, each wholly or not at all."""

    def __init__(
        self,
        identifier: Identifier,
        gallery: Gallery,
        audit: AuditLog,
        *,
        max_image_bytes: int,
        max_bytes: int,
    ) -> None:
        """Creates the importer.

        Args:
            identifier: enrolls.
            gallery: the subjects.
            audit: the audit log.
            max_image_bytes: largest image.
            max_bytes: most bytes of all images of a subject.
        """
        self._identifier = identifier
        self._gallery = gallery
        self._audit = audit
        self._pseudonyms = Pseudonyms(gallery.secrets.pseudonyms)
        self._max_image_bytes = max_image_bytes
        self._max_bytes = max_bytes

    def enroll(self, source: Source, planned: Planned) -> Result:
        """Enrolls a subject unless it exists.

        Raises:
            AuditUnusable: if the audit log cannot be written; then nothing was changed.
            GalleryUnusable: if the gallery cannot be used.
        """
        try:
            self._gallery.subject(planned.subject_id)
            return Result("exists")
        except SubjectUnknown:
            pass
        try:
            images = self._read(source, planned)
            event = command_event("import")
            subject = self._pseudonyms.of(planned.subject_id)
            with self._audit.change({**event, "subject": subject}):
                self._identifier.enroller.enroll(
                    planned.subject_id,
                    planned.name,
                    planned.hand,
                    images,
                    add=False,
                    collection=planned.collection,
                    camera=planned.camera,
                    details=planned.details,
                )
        except (SubjectAlike, SubjectExpired, PalmImageError, PalmKnown, HandDiffers) as error:
            return Result("refused", str(error))
        except Refused as error:
            return Result("refused", str(error))
        except SubjectExists:  # a running service was faster
            return Result("exists")
        except (GalleryBusy, OSError, ValueError) as error:
            return Result("failed", str(error))
        return Result("enrolled")

    def _read(self, source: Source, planned: Planned) -> list[bytes]:
        if not 1 <= len(planned.images) <= MAX_IMAGES:
            raise Refused(f"{len(planned.images)} images; 1 to {MAX_IMAGES} are accepted")
        images: list[bytes] = []
        for name in planned.images:
            # One byte more tells that it is too large; the decoder says so.
            images.append(source.read(planned.subject_id, name, most=self._max_image_bytes + 1))
            if sum(map(len, images)) > self._max_bytes:
                raise Refused(
                    f"the images have more than {self._max_bytes} bytes; give fewer or smaller "
                    "ones, or set PALM_MAX_BODY_MB to more"
                )
        return images


def add_import_command(commands: Any) -> None:
    """Adds the command `import` to the subparsers of a command line."""
    importing = commands.add_parser(
        "import",
        help="enroll many people from a folder or .zip with one folder of images for each, named "
        "by the subject's id, and perhaps a subjects.csv; those who exist are skipped, so an "
        "interrupted import goes on by the same command; the exit status is 1 if any is refused",
    )
    importing.add_argument("path", type=Path, metavar="PATH", help="a folder or a .zip archive")
    importing.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="file for the report, a JSON line for each subject; by default standard output",
    )


def run_import(
    settings: Settings,
    chosen: argparse.Namespace,
    *,
    load_ensemble: LoadEnsemble = load_ensemble,
    load_finder: Callable[[Path, str], Finder] = load_finder,
) -> int:
    """Imports people, and writes a line of the report for each.

    Args:
        settings: the service's settings.
        chosen: `path` and `report` of the command line.
        load_ensemble: loads the nets.
        load_finder: loads the finder.

    Returns:
        1 if any subject was refused or failed.

    Raises:
        ValueError: if what is to be imported is not as it should be; then nothing was enrolled.
        OSError: if it cannot be read, or the report cannot be written.
        AuditUnusable: if the audit log cannot be written; nothing more is enrolled.
        GalleryUnusable: if the gallery cannot be used; repeat the command.
        MasterKeyUnusable: if the master key cannot be read or created.
    """
    with open_source(chosen.path) as source:
        plan = make_plan(source)
        ensemble = open_ensemble(settings, load_ensemble)
        inspector = make_inspector(settings, load_finder(settings.models_dir, settings.engine))
        with closing(open_gallery(settings)) as gallery, _report(chosen.report) as report:
            calibrated = calibrated_at_site(ensemble, gallery)
            with closing(
                start_identifier(settings, calibrated, gallery, inspector, Outage())
            ) as identifier:
                importer = Importer(
                    identifier,
                    gallery,
                    AuditLog(settings.audit_file, gallery.secrets.audit),
                    max_image_bytes=settings.max_image_mb * MIB,
                    max_bytes=settings.max_body_mb * MIB,
                )
                counts = _import(importer, source, plan, report)
    return int(counts["refused"] + counts["failed"] > 0)


def _import(
    importer: Importer, source: Source, plan: Sequence[Planned], report: TextIO
) -> Counter[Outcome]:
    """Imports all of a plan; returns how often there was each outcome."""
    counts: Counter[Outcome] = Counter()

    def tell(planned: Planned, result: Result) -> None:
        counts[result.outcome] += 1
        line = {"subject_id": planned.subject_id, "images": len(planned.images)}
        print(json.dumps({**line, **result._asdict()}), file=report, flush=True)

    for number, planned in enumerate(plan, start=1):
        try:
            tell(planned, importer.enroll(source, planned))
        except GalleryUnusable as error:
            tell(planned, Result("failed", str(error)))
            raise
        except KeyboardInterrupt:
            print("interrupted; the same command goes on", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        if number % PROGRESS_EVERY == 0 or number == len(plan):
            told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
            print(f"{number} of {len(plan)} subjects: {told}", file=sys.stderr, flush=True)
    return counts


@contextmanager
def _report(file: Path | None) -> Generator[TextIO]:
    """Opens the report."""
    if file is None:
        yield sys.stdout
    else:
        with file.open("w", encoding="utf-8") as report:
            yield report
