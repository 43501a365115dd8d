"""What identifies a request that must be done once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Once:
    """A request that must be done once, however often it is sent.

    Attributes:
        digest: hash of the caller and of the key that it gave the request.
        content: hash of what was sent.
    """

    digest: bytes
    content: bytes
