"""What identifies a request that must be done once, however often it is sent."""

import hashlib
from collections.abc import Sequence

from pydantic import BaseModel

from app.access.keys import Caller
from app.gallery.once import Once


def once_of(
    key: str | None, caller: Caller, form: BaseModel, images: Sequence[bytes]
) -> Once | None:
    """Returns what identifies a request; None if it has no idempotency key.

    The key is not stored, so nobody can find out by the hash whether somebody's image was sent.

    Args:
        key: the idempotency key.
        caller: who sends the request.
        form: its fields, with `images`.
        images: its images.
    """
    if key is None:
        return None
    # Without defaults, so that fields of a later release change nothing.
    fields = form.model_dump_json(exclude={"images"}, exclude_defaults=True).encode()
    parts = [hashlib.sha256(part).digest() for part in (key.encode(), fields, *images)]
    return Once(
        digest=hashlib.sha256(f"{caller.key_id} {key}".encode()).digest(),
        content=hashlib.sha256(b"".join(parts)).digest(),
    )
