"""Encrypts what a gallery stores: maps and names under subjects' keys, the rest under the master.

The master key encrypts, under keys that are derived from it, the subjects' keys, the sums of maps
and the gallery's secrets. Each subject's own key encrypts its maps, its name and its details.
"""

import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, Literal

from sqlalchemy import Connection, select

from app.gallery.encryption.cipher import KEY_BYTES, Cipher, NotAuthentic, derive_key
from app.gallery.encryption.template_keys import NAME, TemplateKey, TemplateKeys
from app.gallery.encryption.wrapped import WrappedKeys
from app.gallery.errors import ROTATION_UNFINISHED, GalleryUnusable
from app.gallery.sql.schema import SECRETS
from app.master_key import MasterKeys, MasterKeyUnusable

Purpose = Literal["subject keys", "sums", "secrets"]


class SubjectKey:
    """The key of one subject."""

    def __init__(self, subject_id: str, key: bytes | None, templates: TemplateKeys) -> None:
        """Creates the access to what is encrypted under the key.

        Args:
            subject_id: the subject's id, for messages.
            key: 32 bytes; None if the key is damaged.
            templates: what transforms the maps before they are encrypted.
        """
        self._subject_id = subject_id
        self._templates = templates
        self._cipher = None if key is None else Cipher(key)

    def encrypt_map(self, plain: bytes, net: str, template_id: str, number: int) -> dict[str, Any]:
        """Transforms a map under the newest template key, and encrypts it.

        Args:
            plain: the map, as `VeinMaps.to_bytes` wrote it.
            net: the net's name.
            template_id: see `MapFormat`.
            number: the image's number.

        Returns:
            The columns `map` and `transform` of `MAPS`.
        """
        newest = self._templates.newest
        transformed = self._templates.by_id[newest].apply(plain, net, template_id, number)
        place = ("map", net, template_id, number, newest)
        return {"map": self._working().encrypt(transformed, *place), "transform": newest}

    def decrypt_map(
        self, stored: bytes, net: str, template_id: str, number: int, transform: str | None
    ) -> bytes:
        """Returns a map as `VeinMaps.to_bytes` wrote it; empty, which no map is, if it is damaged.

        Args:
            stored: column `map` of `MAPS`.
            net: the net's name.
            template_id: see `MapFormat`.
            number: the image's number.
            transform: column `transform`; a map of a former release has none.
        """
        bound_to = () if transform is None else (transform,)
        try:
            found = self._working().decrypt(stored, "map", net, template_id, number, *bound_to)
        except (NotAuthentic, GalleryUnusable):
            return b""
        if transform is None:
            return found
        key = self._templates.by_id.get(transform)
        return b"" if key is None else key.undo(found, net, template_id, number)

    def encrypt_name(self, name: str) -> str:
        """Returns a name as it is stored."""
        return self._encrypt_text(name, "name")

    def decrypt_name(self, stored: str) -> str:
        """Returns a stored name.

        Raises:
            GalleryUnusable: if it is damaged.
        """
        return self._decrypt_text(stored, "name")

    def encrypt_details(self, details: str) -> str:
        """Returns details, which are JSON, as they are stored."""
        return self._encrypt_text(details, "details")

    def decrypt_details(self, stored: str) -> str:
        """Returns stored details.

        Raises:
            GalleryUnusable: if they are damaged.
        """
        return self._decrypt_text(stored, "details")

    def _encrypt_text(self, text: str, what: str) -> str:
        return b64encode(self._working().encrypt(text.encode(), what)).decode()

    def _decrypt_text(self, stored: str, what: str) -> str:
        try:
            return self._working().decrypt(b64decode(stored, validate=True), what).decode()
        except (NotAuthentic, ValueError) as error:
            raise self._damage(what) from error

    def _working(self) -> Cipher:
        if self._cipher is None:
            raise self._damage("key")
        return self._cipher

    def _damage(self, what: str) -> GalleryUnusable:
        hint = ROTATION_UNFINISHED if what == "key" else ""
        return GalleryUnusable(
            f"the gallery is damaged: the {what} of subject {self._subject_id!r}; {hint}delete and "
            "enroll this subject again, or restore a backup"
        )


class Master:
    """A master key, and the keys that are derived from it."""

    def __init__(self, key: bytes) -> None:
        """Takes a master key of 32 bytes."""
        self.fingerprint = derive_key(key, "fingerprint").hex()[:16]
        purposes: tuple[Purpose, ...] = ("subject keys", "sums", "secrets")
        self.ciphers = {purpose: Cipher(derive_key(key, purpose)) for purpose in purposes}


class Vault:
    """Encrypts and decrypts for one gallery; safe for concurrent callers."""

    def __init__(self, masters: MasterKeys, wrapped: WrappedKeys) -> None:
        """Creates the vault; reads nothing.

        Args:
            masters: the place of the master key.
            wrapped: the subjects' keys.
        """
        self.wrapped = wrapped
        self._masters = masters
        self._known: dict[str, Master] = {}  # by fingerprint; a rotation adds one
        self._used = ""  # of writers only, who wait for each other
        self._adding = Lock()
        self._templates: Mapping[str, TemplateKey] = {}  # kept because transforms are derived once

    def create(self) -> None:
        """Encrypts under the newest master key from now on; creates one if there is none.

        Raises:
            MasterKeyUnusable: if it can be neither read nor created.
        """
        newest, *_ = self._read(may_create=True)
        self._used = Master(newest).fingerprint

    @property
    def used(self) -> str:
        """The fingerprint of the master key in use."""
        return self._used

    def use(self, fingerprint: str) -> None:
        """Encrypts under the master key of a fingerprint from now on; only for a writer.

        Raises:
            MasterKeyUnusable: see `know`.
        """
        self.know(fingerprint)
        self._used = fingerprint

    def know(self, fingerprint: str) -> None:
        """Makes sure that the master key of a fingerprint is known, for `decrypt`.

        Raises:
            MasterKeyUnusable: if that key cannot be read, or another one stands in its place.
        """
        if fingerprint not in self._known:
            self._read(may_create=False)
        if fingerprint not in self._known:
            raise MasterKeyUnusable(
                "the gallery is encrypted under another master key: restore the one that belongs "
                "to it in PALM_MASTER_KEY_FILE, or in PALM_MASTER_KEY; nothing was changed"
            )

    def add(self, key: bytes) -> str:
        """Makes a new master key known; returns its fingerprint."""
        master = Master(key)
        with self._adding:  # else one of two callers could lose the other's
            self._known = {**self._known, master.fingerprint: master}
        return master.fingerprint

    def encrypt(self, purpose: Purpose, plain: bytes, *place: str | int) -> bytes:
        """Encrypts under a key that is derived from the master key in use."""
        return self._known[self._used].ciphers[purpose].encrypt(plain, *place)

    def decrypt(self, purpose: Purpose, stored: bytes, *place: str | int) -> bytes:
        """Decrypts what was encrypted under any master key that is known.

        Raises:
            NotAuthentic: if it is damaged.
        """
        with suppress(NotAuthentic):
            return self._decrypt(purpose, stored, place)
        with suppress(MasterKeyUnusable):  # another process may rotate the master key
            self._read(may_create=False)
        return self._decrypt(purpose, stored, place)

    def create_keys(self, connection: Connection, subjects: Mapping[int, str]) -> None:
        """Stores a new key for each subject, given by number and id.

        Raises:
            GalleryUnusable: see `keys_of`.
        """
        self._require_finished_rotation()
        wrapped = {
            number: self.encrypt("subject keys", secrets.token_bytes(KEY_BYTES), number, subject_id)
            for number, subject_id in subjects.items()
        }
        self.wrapped.add(connection, wrapped)

    def keys_of(self, connection: Connection, subjects: Mapping[int, str]) -> dict[int, SubjectKey]:
        """Returns the keys of subjects, given by number and id; an erased subject has none.

        Raises:
            GalleryUnusable: if they are under a master key that is not known here. Otherwise every
                subject would seem damaged, and be missing in what is computed from all.
        """
        found = self.wrapped.read(connection, subjects.keys())
        templates = self.template_keys(connection)
        return {
            number: SubjectKey(
                subjects[number], self._unwrap(number, subjects[number], wrapped), templates
            )
            for number, wrapped in found.items()
        }

    def template_keys(self, connection: Connection) -> TemplateKeys:
        """Returns the keys that transform templates, as a transaction sees them."""
        return TemplateKeys(lambda: self._read_template_keys(connection))

    def _read_template_keys(self, connection: Connection) -> Mapping[str, TemplateKey]:
        """Reads the template keys; those that are destroyed are forgotten."""
        former, found = self._templates, dict[str, TemplateKey]()
        query = select(SECRETS).where(SECRETS.c.name.startswith(NAME))
        for row in connection.execute(query):
            try:
                key = self.decrypt("secrets", row.encrypted, row.name)
            except NotAuthentic as error:
                raise GalleryUnusable(
                    f"the gallery is damaged: its secret for {row.name}; restore a backup"
                ) from error
            key_id = row.name.removeprefix(NAME)
            known = former.get(key_id)
            found[key_id] = known if known and known.is_of(key) else TemplateKey(key)
        self._templates = found
        return found

    def wrap_anew(self, number: int, subject_id: str, wrapped: bytes) -> bytes:
        """Wraps a subject's key under the master key in use; a damaged one stays as it is."""
        key = self._unwrap(number, subject_id, wrapped)
        return wrapped if key is None else self.encrypt("subject keys", key, number, subject_id)

    def _unwrap(self, number: int, subject_id: str, wrapped: bytes) -> bytes | None:
        try:
            return self.decrypt("subject keys", wrapped, number, subject_id)
        except NotAuthentic:
            self._require_finished_rotation()
            return None

    def _require_finished_rotation(self) -> None:
        if self.wrapped.are_under(self._known):
            return
        with suppress(MasterKeyUnusable):
            self._read(may_create=False)
        if not self.wrapped.are_under(self._known):
            raise GalleryUnusable(
                "the subjects' keys are under another master key than the gallery: a rotation was "
                "interrupted; finish it by the same command as before; nothing was changed"
            )

    def _decrypt(self, purpose: Purpose, stored: bytes, place: tuple[str | int, ...]) -> bytes:
        for master in sorted(self._known.values(), key=lambda one: one.fingerprint != self._used):
            with suppress(NotAuthentic):
                return master.ciphers[purpose].decrypt(stored, *place)
        raise NotAuthentic

    def _read(self, *, may_create: bool) -> Sequence[bytes]:
        """Reads the master keys; those that were known before stay known."""
        keys = self._masters.read(may_create=may_create)
        for key in keys:
            self.add(key)
        return keys
