"""Pseudonyms of subjects, for logs and receipts: an erased subject's id stands in none."""

import hmac
import re
import secrets

_DIGITS = 16
_IN_PATH = re.compile(r"(/subjects?/+)([^/]+)", re.IGNORECASE)


class Pseudonyms:
    """Replaces subjects' ids; only who has the secret can tell which pseudonym an id has."""

    def __init__(self, secret: bytes | None) -> None:
        """Creates the pseudonyms.

        Args:
            secret: the same secret gives the same pseudonyms; None draws one, as long as there is
                none.
        """
        self._key = secret or secrets.token_bytes(32)

    def of(self, subject_id: str) -> str:
        """Returns a subject's pseudonym, 16 hexadecimal digits."""
        # An id from a path may hold any character.
        known = subject_id.encode(errors="surrogatepass")
        return hmac.digest(self._key, known, "sha256").hex()[:_DIGITS]

    def in_path(self, path: str) -> str:
        """Returns a request's path with the subject's pseudonym in place of its id."""
        return _IN_PATH.sub(lambda match: match[1] + self.of(match[2]), path)
