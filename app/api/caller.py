"""The route that tells callers what they may do."""

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, Field

from app.access.keys import SCOPES, Scope
from app.api.access import Guarded, caller_of, guarded
from app.api.query import KNOWN_QUERY
from app.api.service import ServiceDep


class CallerRights(BaseModel):
    """The caller, and what it may do."""

    keys_in_use: bool = Field(
        description="Whether callers need a key. While there is none, the service's own machine "
        "may do everything, and nobody else anything."
    )
    key_id: str | None = Field(
        description="The key's id, 8 hexadecimal digits; null without keys.", examples=["3f9a1c04"]
    )
    name: str | None = Field(
        description="Who uses the key, up to 200 characters; null without keys.",
        examples=["front door"],
    )
    scopes: list[Scope] = Field(
        description="What the caller may do.", examples=[["identify", "inspect"]]
    )
    explanations: bool = Field(
        description="Whether the scope explain has a use: whether PALM_EXPLAIN is on."
    )
    collections: list[str] | None = Field(
        description="The collections of subjects that the caller may see, search and change; null "
        "for all.",
        examples=[["staff"]],
    )
    expires_at: AwareDatetime | None = Field(
        description="When the key stops working, UTC; null if it never does.",
        examples=["2127-11-30T09:00:00Z"],
    )


router = APIRouter(prefix="/v1", tags=["keys"], dependencies=[KNOWN_QUERY], route_class=Guarded)


@router.get("/caller", summary="Show what the caller may do", **guarded("any"))
async def show_caller(service: ServiceDep, request: Request) -> CallerRights:
    """Tells what the API key of this request allows. Every key that works may ask."""
    caller = caller_of(request)
    within = caller.collections
    return CallerRights(
        keys_in_use=caller.key_id is not None,
        key_id=caller.key_id,
        name=caller.name,
        scopes=sorted(caller.scopes, key=SCOPES.index),
        explanations=service.may_explain,
        collections=None if within is None else sorted(within),
        expires_at=caller.expires_at,
    )
