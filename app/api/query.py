"""Query parameters: those that a route does not have are refused, as unknown form fields are."""

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError

from app.validation import MAX_ERRORS, suggest


async def _refuse_unknown(request: Request) -> None:
    """Refuses query parameters that would be ignored, such as a mistyped one.

    Raises:
        RequestValidationError: if there are any; it names the nearest known one for each.
    """
    known = [parameter.alias for parameter in request.scope["route"].dependant.query_params]
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError(
            [
                {
                    "type": "unknown_field",
                    "loc": ("query", name),
                    # The rest is only counted.
                    "msg": f"is not a query parameter; {suggest(name, known)}"
                    if number < MAX_ERRORS
                    else "",
                    "input": None,
                }
                for number, name in enumerate(unknown)
            ]
        )


KNOWN_QUERY = Depends(_refuse_unknown)
"""Dependency of a router: its routes refuse query parameters that they do not declare."""
