"""The route that identifies many palms in one request."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated

from anyio import from_thread
from fastapi import APIRouter, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field
from starlette.types import Receive, Send
from starlette.types import Scope as ASGIScope

from app.access.keys import CollectionMissing, Scope
from app.api.access import Access, Computing, caller_of, guarded
from app.api.admission import Admission
from app.api.audit import audit_part, note
from app.api.collections import CollectionsField, collections_to_search
from app.api.handlers import problem_of
from app.api.identify import IMAGES_MISSING, MULTIPART, log_decision
from app.api.palm_problems import OF_ALL
from app.api.problems import Problem
from app.api.query import KNOWN_QUERY
from app.api.schemas import CameraField, CaptureField, Identification, RequestBody, image_files
from app.api.service import IdentifierDep, ServiceDep
from app.api.shown import decision_for
from app.audit.log import AuditUnusable
from app.gallery.collection import Within
from app.identifier import Identifier

MAX_PALMS = 256
PATH = "/v1/identify/batch"
SCOPE: Scope = "identify"


class BatchForm(RequestBody):
    """Palms to identify, one image of each."""

    images: list[UploadFile] = image_files(MAX_PALMS, of="of palms, one of each")
    capture: CaptureField = None
    collections: CollectionsField
    camera: CameraField = ""


class BatchLine(BaseModel):
    """A line of the answer: whose palm one image shows, or why it cannot be told."""

    index: int = Field(description="Position of the image in the form, 0 to 255.", examples=[0])
    identification: Identification | None = Field(
        default=None, description="What /v1/identify answers for this image. Left out if it fails."
    )
    problem: Problem | None = Field(
        default=None,
        description="The problem that /v1/identify answers for this image, with its `status`. Left "
        "out if there is none.",
    )


class Lines(JSONResponse):
    """Documents the answer, of which FastAPI would take any stream for a text."""

    media_type = "application/x-ndjson"


class _Sent(StreamingResponse):
    """Sends lines, and closes their generator at once if nobody takes them any more."""

    def __init__(self, lines: AsyncGenerator[bytes]) -> None:
        super().__init__(lines, media_type=Lines.media_type)
        self._lines = lines

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        # A client that stops reading and leaves would end the batch only when Python collects it.
        async with aclosing(self._lines):
            await super().__call__(scope, receive, send)


router = APIRouter(tags=["palms"], dependencies=[KNOWN_QUERY], route_class=Computing)


@router.post(
    PATH,
    response_class=Lines,
    response_model=BatchLine,
    summary="Identify many palms",
    form_limits={"max_files": MAX_PALMS + 32},
    **guarded(SCOPE, CollectionMissing, *OF_ALL, invalid=IMAGES_MISSING),
)
def identify_batch(
    identifier: IdentifierDep,
    service: ServiceDep,
    request: Request,
    form: Annotated[BatchForm, MULTIPART],
) -> Response:
    """Compares each of up to 256 palms, one image of each, with every subject.

    The answer has a line of JSON for each image, sent as soon as it is ready: the order may differ
    from the images'. The status is 200 even if no image can be used. An answer with fewer lines
    than images was cut short.
    """
    within = collections_to_search(caller_of(request), form.collections)
    access: Access = request.app.state.access
    from_thread.run(access.count, request, len(form.images) - 1)  # one is counted already
    images: list[bytes] = []
    for image in form.images:
        images.append(image.file.read())
        image.file.close()
    note(request, images=len(images))
    batch = _Batch(request, identifier, service.admission, form, within, images)
    return _Sent(batch.lines())


class _Batch:
    """Identifies the palms of one request, in the places that batches may have."""

    def __init__(
        self,
        request: Request,
        identifier: Identifier,
        admission: Admission,
        form: BatchForm,
        within: Within,
        images: list[bytes],
    ) -> None:
        self._request = request
        self._identifier = identifier
        self._admission = admission
        self._form = form
        self._within = within
        self._images = images
        self._next = iter(range(len(images)))
        self._ready = asyncio.Queue[bytes | None]()
        self._answered = 0
        self._over = asyncio.Event()

    async def lines(self) -> AsyncGenerator[bytes]:
        """Yields a line for each image; once nobody takes them, no further palm is begun."""
        work = asyncio.create_task(self._run())
        try:
            while (line := await self._ready.get()) is not None:
                yield line
                self._answered += 1
        finally:
            self._over.set()
        await work

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._admission.batch_places):
                    group.create_task(self._work())
        finally:
            self._ready.put_nowait(None)
        await self._over.wait()
        await run_in_threadpool(self._audit_end)

    async def _work(self) -> None:
        for index in self._next:
            async with self._admission.place_in_batch():
                if self._over.is_set():
                    return
                self._ready.put_nowait(await run_in_threadpool(self._line, index))

    def _line(self, index: int) -> bytes:
        """Returns the answer for an image, once the audit log has it; called in a thread."""
        try:
            kind, text, told = "identification", *self._identify(index)
        except Exception as error:
            problem = problem_of(self._request, error)
            kind, text, told = "problem", problem.model_dump_json(), {"status": problem.status}
        try:
            audit_part(self._request, PATH, SCOPE, index=index, **told)
        except AuditUnusable as error:
            kind, text = "problem", problem_of(self._request, error).model_dump_json()
        return f'{{"index":{index},"{kind}":{text}}}\n'.encode()

    def _identify(self, index: int) -> tuple[str, dict[str, str | int | None]]:
        """Returns the answer as JSON, and what the audit log is told."""
        found = self._identifier.identify(
            [self._images[index]],
            mode=self._form.capture,
            within=self._within,
            camera=self._form.camera,
        )
        told = log_decision("identify", self._request, found, index=index)
        answer = Identification.of(found, self._request.state.request_id)
        text = decision_for(caller_of(self._request), answer).model_dump_json()
        return text, {"status": 200, **told}

    def _audit_end(self) -> None:
        size = {"images": len(self._images), "answered": self._answered}
        with suppress(AuditUnusable):  # the palms' lines tell as much
            audit_part(self._request, PATH, SCOPE, phase="done", **size)
