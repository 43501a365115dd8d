"""The gallery: the enrolled subjects and their templates."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.access.keys import KeyStore
from app.gallery.backup.contents import Backups
from app.gallery.collection import CollectionSize, Within
from app.gallery.encryption.secret_keys import Secrets
from app.gallery.erasure import Erasure, ErasureCounts
from app.gallery.following import Changes, Position
from app.gallery.once import Once
from app.gallery.sql.records import Check, FieldValue, Records, accept
from app.gallery.subject import Hand, Origin, Subject, Template
from app.matching.maps import VeinMaps
from app.matching.mean_map import MapSum
from app.matching.templates import MapFormat
from app.palm.capture import Capture


class Gallery(Protocol):
    """A durable set of subjects and their templates; safe for concurrent callers.

    Every method raises `GalleryUnusable` if the store fails.
    """

    @property
    def keys(self) -> KeyStore:
        """The API keys, in the same store."""
        ...

    @property
    def records(self) -> Records:
        """What is done with whole subjects, in the same store."""
        ...

    @property
    def backups(self) -> Backups:
        """Backups of the gallery."""
        ...

    @property
    def secrets(self) -> Secrets:
        """Random keys that no rotation of the master key changes."""
        ...

    def within(self, collections: Within) -> "Gallery":
        """Returns this gallery as a caller sees it who may see only some collections.

        To the methods that find, list, count, change or erase subjects and their templates, every
        other subject is unknown. Those that read changes, sums, receipts or keys are not limited.
        Of a limited gallery, returns one that is limited to what both allow.

        Args:
            collections: the collections; None for all.
        """
        ...

    def collections(self) -> list[CollectionSize]:
        """Counts the subjects of each collection; limited to some, also of empty ones."""
        ...

    def revision(self) -> int:
        """Returns a number that differs after every change, by any process; cheap to read."""
        ...

    def seed_trained(self, subject_ids: Sequence[str]) -> None:
        """Makes the trained subjects the identities that the nets know, except the erased ones.

        Others are removed, unless they have a name, a hand or templates of their own.

        A subject that was enrolled under one of these ids before stays as it is. The templates that
        the nets have of that id are never used, because they may show another palm.
        """
        ...

    def enroll(
        self,
        subject_id: str,
        name: str | None,
        hand: Hand | None,
        templates: Mapping[MapFormat, VeinMaps],
        *,
        add: bool,
        captures: Sequence[Capture] | None = None,
        once: Once | None = None,
        collection: str | None = None,
        details: Mapping[str, FieldValue] | None = None,
        camera: str = "",
    ) -> Subject:
        """Stores a subject's templates, all or nothing.

        Args:
            subject_id: the templates' owner. The id of an erased trained identity may be used
                again; it then is an ordinary enrolled subject.
            name: None keeps an existing subject's name.
            hand: None keeps an existing subject's hand.
            templates: the images' maps by each net, before any mean map is subtracted.
            add: whether to add the templates if the subject exists.
            captures: how each of the images was captured; None if that is not known.
            once: identifies the request; if it was done within a day, nothing is stored.
            collection: of a new subject, None for "default"; must be that of an existing subject
                unless it is None.
            details: `metadata`, `consent` and `retain_until`, as far as they are to be set; None
                keeps an existing subject's.
            camera: the camera that took the images; "" for the unnamed one.

        Raises:
            SubjectExists: if the subject exists and `add` is false, or if it is about to be erased.
            CollectionDiffers: if it exists in another collection.
            TrainedFixed: if a trained identity is to get a retention date.
            RequestDiffers: if another request was done under the key of `once`.
            SubjectUnknown: if the request was done, and the subject erased since.
        """
        ...

    def was_enrolled(self, once: Once) -> bool:
        """Tells whether a request was done within a day.

        Raises:
            RequestDiffers: if another request was done under its key.
        """
        ...

    def templates(self, subject_id: str) -> list[Template]:
        """Returns the enrolled templates of a subject, in the order of enrolment.

        Raises:
            SubjectUnknown: if there is no subject of that id.
        """
        ...

    def remove_template(self, subject_id: str, number: int) -> Erasure:
        """Removes one template, as `delete` a subject; returns the receipt.

        Raises:
            SubjectUnknown: if there is no subject of that id.
            TemplateUnknown: if it has no template of that number.
            LastTemplate: if an enrolled subject has no other.
        """
        ...

    def subject(self, subject_id: str) -> Subject:
        """Returns a subject.

        Raises:
            SubjectUnknown: if there is no subject of that id.
        """
        ...

    def subjects(
        self,
        *,
        after: str | None,
        limit: int,
        origin: Origin | None = None,
        name: str | None = None,
    ) -> list[Subject]:
        """Returns subjects in the order of their ids.

        Args:
            after: id after which to begin.
            limit: largest number of subjects.
            origin: only subjects of this origin.
            name: only subjects whose name holds this text, in capital or small letters.
        """
        ...

    def update(
        self, subject_id: str, changes: Mapping[str, FieldValue], check: Check = accept
    ) -> Subject:
        """Sets `name`, `hand`, `collection`, `metadata`, `consent` or `retain_until`; None clears.

        Args:
            subject_id: the subject.
            changes: the fields to set.
            check: called with the subject as it is; whatever it raises keeps it so.

        Raises:
            SubjectUnknown: if there is no subject of that id.
            TrainedFixed: if a trained identity is to get a retention date.
            ValueError: if `changes` has any other key.
        """
        ...

    def delete(self, subject_id: str, check: Check = accept) -> Erasure:
        """Erases a subject and its templates, and destroys the key that could decrypt them.

        Its share of the sums of maps is subtracted. The id of a trained identity is kept, so that
        the templates that the nets have of it are never used again.

        Args:
            subject_id: the subject.
            check: called with the subject, without its name; whatever it raises keeps the subject.

        Returns:
            The receipt. Pending media are tried again by the next change, erasure or start.

        Raises:
            SubjectUnknown: if there is no subject of that id.
        """
        ...

    def erasure(self, erasure_id: str) -> Erasure:
        """Returns the receipt of an erasure as it is now.

        Raises:
            ErasureUnknown: if there is none of that id.
        """
        ...

    def count_erasures(self) -> ErasureCounts:
        """Counts the receipts; cheap, because monitoring asks again and again."""
        ...

    def count_templates(self) -> int:
        """Counts the stored maps of all nets, in time that rises with their number."""
        ...

    def verify_erasures(self) -> list[Erasure]:
        """Removes what is pending, searches every byte, and returns all receipts.

        This takes time and room in proportion to the gallery, see `Files.scrub`.
        """
        ...

    def rotate_master_key(self, new_key: bytes) -> bool:
        """Encrypts everything that the master key encrypts under a new one; reads no template.

        Args:
            new_key: 32 bytes; it must stand in its place, with the old one, for all processes.

        Returns:
            Whether no key that was wrapped under the old one is left in the files.
        """
        ...

    def rotate_templates(self) -> bool:
        """Transforms every template anew under a new key, and destroys the former key.

        Other processes go on meanwhile. Called again after an interruption, it goes on.

        Returns:
            Whether the former key is gone from the database's files.

        Raises:
            GalleryUnusable: if a template is damaged; the former key then stays.
        """
        ...

    def changes(self, after: Position, formats: Sequence[MapFormat], limit: int) -> Changes:
        """Reads what has changed, or from `START` everything, without what was erased.

        Args:
            after: `START`, or the `position` of the changes that were read before.
            formats: formats of the maps to read.
            limit: largest number of subjects to read.
        """
        ...

    def sums_by_camera(self, formats: Sequence[MapFormat]) -> dict[str, list[MapSum]]:
        """Returns for each camera and format the sum over the subjects of origin "enrolled".

        A subject's share is the mean of its maps of that camera. The unnamed camera, "", is always
        there, and others that took an image of an enrolled subject.
        """
        ...

    def incomparable(
        self, formats: Sequence[MapFormat], *, after: str | None, limit: int
    ) -> list[Subject]:
        """Returns the subjects that must be enrolled again, in pages like `subjects`.

        These are the subjects of origin "enrolled" that have no template of at least one format.
        """
        ...

    def count_incomparable(self, formats: Sequence[MapFormat]) -> int:
        """Returns the number of subjects that must be enrolled again; see `incomparable`."""
        ...

    def site_reports(self) -> dict[str, str]:
        """Returns the last calibration at the site for each camera that has one, as JSON."""
        ...

    def write_site_report(self, report: str, *, camera: str = "") -> None:
        """Replaces the calibration of one camera at the site."""
        ...

    def close(self) -> None:
        """Releases the store; no other method may be called afterwards."""
        ...
