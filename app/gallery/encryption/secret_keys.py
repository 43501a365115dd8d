"""The secrets of a gallery that outlast its master key."""

from typing import NamedTuple


class Secrets(NamedTuple):
    """Random keys of a gallery, each 32 bytes; the master key encrypts them.

    Attributes:
        api_keys: keys the hashes of the API keys.
        pseudonyms: makes subjects' pseudonyms; see `app.audit.pseudonyms`.
        audit: seals the audit log.
    """

    api_keys: bytes
    pseudonyms: bytes
    audit: bytes
