"""The receipts of erasures."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import Field

from app.api.access import Guarded, guarded
from app.api.query import KNOWN_QUERY
from app.api.service import Broken, GalleryDep, Service, ServiceDep
from app.gallery.erasure import Erasure, State
from app.gallery.errors import ErasureUnknown

MAX_ERASURE_ID_LENGTH = 64
"""Longest id that is looked up."""

_TOO_LONG = f"String should have at most {MAX_ERASURE_ID_LENGTH} characters"


class Receipt(Erasure):
    """What was erased, and from which media. "pending" media are tried again by themselves."""

    index: State = Field(
        description="Whether this process's index finds it no more. Other processes drop it "
        "before their next answer.",
        examples=["done"],
    )
    memory: State = Field(
        description="Whether its rows in this process's index are overwritten, and no index that "
        "is being rebuilt holds them.",
        examples=["done"],
    )


router = APIRouter(
    prefix="/v1/erasures", tags=["subjects"], dependencies=[KNOWN_QUERY], route_class=Guarded
)


@router.get(
    "/{erasure_id}",
    summary="Show an erasure's receipt",
    **guarded("erase", ErasureUnknown, invalid={"erasure_id": _TOO_LONG}),
)
def show_erasure(
    service: ServiceDep,
    gallery: GalleryDep,
    erasure_id: Annotated[
        str,
        Path(
            max_length=MAX_ERASURE_ID_LENGTH,
            description="The erasure's id, 32 hexadecimal digits.",
            examples=["5d1a6e4c0c9f1d2b3a4e5f60710f8c4c"],
        ),
    ],
) -> Receipt:
    """Shows what was erased, and which media still hold it now."""
    return receipt_of(service, gallery.erasure(erasure_id))


def receipt_of(service: Service, erasure: Erasure) -> Receipt:
    """Returns an erasure with the state of this process's index."""
    # Without an identifier nothing is in memory.
    rows, copies = (
        (True, True)
        if isinstance(service.identifier, Broken)
        else service.identifier.forget_erased()
    )
    return Receipt(
        **dict(erasure),
        index="done" if rows else "pending",
        memory="done" if rows and copies else "pending",
    )
