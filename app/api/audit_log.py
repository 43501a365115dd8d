"""The route that shows the newest lines of the audit log."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from app.api.access import Guarded, guarded
from app.api.audit import note
from app.api.errors import AuditOff
from app.api.query import KNOWN_QUERY
from app.api.service import ServiceDep, working
from app.audit.reading import AuditLine, read_newest


class AuditLines(BaseModel):
    """Lines of the audit log, the newest first. Nothing here is verified."""

    lines: list[AuditLine] = Field(
        description="The lines. They may have been altered: `python -m app audit verify` finds "
        "that, this route does not."
    )
    next: int | None = Field(
        description="Send it as `before` for older lines, also if `lines` has fewer than `limit`: "
        "a search ends after 32 MiB of the file. Null if the file has no older number.",
        examples=[42],
    )
    unreadable: int = Field(
        description="Number of lines that were passed over, because they are torn or altered.",
        examples=[0],
    )


router = APIRouter(
    prefix="/v1/audit", tags=["audit"], dependencies=[KNOWN_QUERY], route_class=Guarded
)


@router.get(
    "",
    summary="Show the audit log",
    **guarded(
        "admin",
        AuditOff,
        invalid={"limit": "Input should be less than or equal to 500, not '5000'"},
    ),
)
def show_audit(
    request: Request,
    service: ServiceDep,
    limit: Annotated[
        int, Query(ge=1, le=500, description="Largest number of lines on a page, 1 to 500.")
    ] = 100,
    before: Annotated[
        int | None,
        Query(ge=1, description="Only lines of a lower number: `next` of the page before."),
    ] = None,
    route: Annotated[
        str | None,
        Query(
            max_length=200,
            description="Only lines about this route, such as /v1/subjects/{subject_id}.",
        ),
    ] = None,
    outcome: Annotated[
        Literal["succeeded", "refused", "failed"] | None,
        Query(description="Only lines of this outcome: below 400, below 500, or any other."),
    ] = None,
    subject: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9a-f]{16}$",
            description="Only lines about the subject of this pseudonym, 16 hexadecimal digits, "
            "as `python -m app audit pseudonym` prints it.",
        ),
    ] = None,
) -> AuditLines:
    """Shows the newest lines of this machine's file, PALM_AUDIT_FILE. It is audited itself.

    Files that were moved away are not read, and no line is verified.
    """
    log = working(service.audit).file
    if log is None:
        raise AuditOff
    note(request, subject=subject)

    def is_wanted(line: AuditLine) -> bool:
        return (
            route in (None, line.route)
            and outcome in (None, line.outcome)
            and (subject is None or subject in line.subjects)
        )

    page = read_newest(log, limit, before=before, wanted=is_wanted)
    return AuditLines(lines=page.lines, next=page.next, unreadable=page.unreadable)
