"""The route that tells what the service sees in an image."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, UploadFile

from app.api.access import Computing, guarded
from app.api.errors import CrossSite, Overloaded
from app.api.identify import IMAGES_MISSING, MULTIPART
from app.api.measured import note_stages
from app.api.palm_problems import IMAGE_ERRORS
from app.api.query import KNOWN_QUERY
from app.api.schemas import CaptureField, Inspection, RequestBody, image_files
from app.api.service import AdmittedInspectorDep


class InspectForm(RequestBody):
    """A single image to inspect."""

    images: list[UploadFile] = image_files(1)
    capture: CaptureField = None


router = APIRouter(prefix="/v1", tags=["palms"], dependencies=[KNOWN_QUERY], route_class=Computing)


@router.post(
    "/inspect",
    response_model=Inspection,
    summary="Show what the service sees in an image",
    **guarded("inspect", *IMAGE_ERRORS, CrossSite, Overloaded, invalid=IMAGES_MISSING),
)
def inspect(
    inspector: AdmittedInspectorDep,
    request: Request,
    form: Annotated[InspectForm, MULTIPART],
    draw: Annotated[
        bool, Query(description="Whether to draw the palm's square and the finger gaps.")
    ] = False,
) -> Response:
    """Finds the palm and measures its quality; compares and stores nothing.

    That no palm is found, or that its quality is too low, is a result, not an error: a capture
    station can call this until `usable` is true.
    """
    found = inspector.inspect(form.images[0].file.read(), mode=form.capture, draw=draw)
    note_stages(request, found.timings_ms)
    return Inspection.of(found, request.state.request_id).as_response()
