"""The use cases that change whose palms are known: enroll and merge. Knows no HTTP and no SQL."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from app import answers
from app.answers import Enrollment
from app.clock import Clock
from app.compare import compute_maps
from app.enrolment import Checks
from app.ensemble import Ensemble
from app.gallery.collection import Within
from app.gallery.erasure import Erasure
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery, Once
from app.gallery.index.cameras import UNNAMED
from app.gallery.index.searching import Index
from app.gallery.outage import Outage
from app.gallery.sql.records import FieldValue, accept
from app.gallery.subject import Hand
from app.merging import require_one_subject
from app.palm.capture import Capture, CaptureMode
from app.palm.reader import PalmReader, read_palms, warn_of_turns


class Enroller:
    """Enrolls palms and merges subjects; safe for concurrent callers."""

    def __init__(
        self,
        nets_for: Callable[[str], Ensemble],
        gallery: Gallery,
        index: Index,
        reader: PalmReader,
        *,
        least_quality: int,
        outage: Outage,
    ) -> None:
        """Creates the enroller; reads and writes nothing.

        Args:
            nets_for: returns the nets with the thresholds for images of a camera.
            gallery: the subjects.
            index: the gallery's index.
            reader: reads palms from images.
            least_quality: least quality of an image, 0 to 100.
            outage: the state of the gallery's store.
        """
        self._nets_for = nets_for
        self._gallery = gallery
        self._index = index
        self._reader = reader
        self._least_quality = least_quality
        self._outage = outage

    def enroll(
        self,
        subject_id: str,
        name: str | None,
        hand: Hand | None,
        images: Sequence[bytes],
        *,
        add: bool,
        force: bool = False,
        mode: CaptureMode | None = None,
        once: Once | None = None,
        collection: str | None = None,
        details: Mapping[str, FieldValue] | None = None,
        camera: str = UNNAMED,
        within: Within = None,
    ) -> Enrollment:
        """Stores one template per image and net; stores nothing if any image is refused.

        Args:
            subject_id: the subject.
            name: its name; None keeps it.
            hand: which hand it is; None keeps it.
            images: files, all of one palm.
            add: whether to add to an existing subject.
            force: whether the palm may be unlike the subject's, or enrolled under another subject.
            mode: what the images are taken for; None leaves it to the reader.
            once: identifies the request; if it was done before, nothing is stored.
            collection: of a new subject, None for "default"; None keeps a known subject's.
            details: see `Gallery.enroll`.
            camera: the camera that took the images.
            within: collections that the caller may see; None for all.

        Raises:
            RequestDiffers: if another request was done under the key of `once`.
            PalmImageError: if an image cannot be used, or the images show several palms or another
                one than the subject's.
            PalmKnown: if the palm is enrolled under another subject, and `force` is false.
            HandDiffers: if the subject is the other hand.
            CollectionDiffers: if it is in another collection.
            SubjectExists: if the subject exists and `add` is false.
        """
        clock, gallery, ensemble = Clock(), self._gallery.within(within), self._nets_for(camera)
        self._outage.check()
        palms = read_palms(
            *(self._reader, images, ensemble.input_px, mode),
            least_quality=self._least_quality,
            lap=clock.lap,
        )
        if once is not None and gallery.was_enrolled(once):
            subject = gallery.subject(subject_id)
        else:
            maps = compute_maps(ensemble, palms)
            templates = dict(zip(ensemble.formats, maps, strict=True))
            clock.lap("nets")
            checks = Checks(ensemble, gallery, self._index, add, force, collection, camera)
            done = checks.apply(subject_id, hand, maps, once)
            clock.lap("search")
            self._outage.check()  # the checks may have been made with what was last read
            captures: list[Capture] = [palm.region.capture for palm in palms]
            store = partial(gallery.enroll, captures=captures, once=once, camera=camera)
            subject = done or store(
                *(subject_id, name, hand, templates),
                add=add,
                collection=collection,
                details=details,
            )
        # So that the next identification need not read it. If others' templates are damaged, that
        # identification says so; this subject is stored.
        with suppress(GalleryUnusable):
            self._index.refresh()
        clock.lap("gallery")
        return Enrollment(
            subject=subject,
            regions=[answers.Region.of(palm) for palm in palms],
            quality=[palm.quality for palm in palms],
            warnings=warn_of_turns(palms),
            timings_ms=clock.timings_ms(),
        )

    def merge(
        self, subject_id: str, other: str, *, force: bool = False, within: Within = None
    ) -> Erasure:
        """Merges two subjects; see `Records.merge`.

        Args:
            subject_id: the subject that stays.
            other: the subject that is erased.
            force: whether to merge although they may be two palms.
            within: see `enroll`.

        Raises:
            MergeUnchecked: if one has no templates of the nets in service, and `force` is false.
            PalmsUnlike: if they do not show one palm, and `force` is false.
        """
        gallery = self._gallery.within(within)
        check = accept
        if not force:
            check = require_one_subject(self._nets_for, gallery, self._index, subject_id, other)
        return gallery.records.merge(subject_id, other, check)
