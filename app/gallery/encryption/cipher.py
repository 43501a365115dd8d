"""Encrypts and decrypts bytes: AES-256-GCM, under keys that HKDF-SHA256 derives."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12  # NIST SP 800-38D: random nonces of 96 bits serve 2^32 messages of one key


class NotAuthentic(Exception):
    """The bytes were altered or moved, or were encrypted under another key."""


class Cipher:
    """Encrypts under one key, and binds each ciphertext to its place."""

    def __init__(self, key: bytes) -> None:
        """Takes a key of 32 bytes."""
        self._cipher = AESGCM(key)

    def encrypt(self, plain: bytes, *place: str | int) -> bytes:
        """Returns the nonce, the ciphertext and its tag: 28 bytes more than `plain`.

        Args:
            plain: what to encrypt.
            place: names the place where the ciphertext will stand. No part may hold a NUL.
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, _join(place))

    def decrypt(self, encrypted: bytes, *place: str | int) -> bytes:
        """Returns what was encrypted for this place.

        Raises:
            NotAuthentic: if it was altered, or is of another place or key.
        """
        nonce, rest = encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, rest, _join(place))
        except (InvalidTag, ValueError) as error:  # the latter for too few bytes
            raise NotAuthentic from error


def derive_key(key: bytes, purpose: str) -> bytes:
    """Returns a key of 32 bytes for one purpose (RFC 5869)."""
    info = f"palm gallery: {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def _join(place: tuple[str | int, ...]) -> bytes:
    return "\0".join(map(str, place)).encode()
