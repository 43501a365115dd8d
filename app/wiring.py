"""Builds the parts of the service, and of the commands, from the settings."""

from collections.abc import Callable, Sequence
from pathlib import Path

from app.ensemble import Ensemble
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery
from app.gallery.index.memory import GalleryIndex
from app.gallery.index.searching import Index
from app.gallery.outage import Outage
from app.gallery.pgvector.index import DatabaseIndex
from app.gallery.pgvector.tables import CoarseGallery
from app.gallery.sql.postgresql import open_postgresql
from app.gallery.sql.sqlite import open_sqlite
from app.identifier import Identifier
from app.inspection import Inspector
from app.maintenance import Calibrated
from app.master_key import MasterKeys
from app.nets.precision import CACHE, PrecisionChoice
from app.palm.decode import ImageLimits
from app.palm.finder import Finder
from app.palm.reader import PalmReader
from app.settings import Settings

GALLERIES: dict[str, Callable[[str, MasterKeys], Gallery]] = {  # by the URL's scheme
    "postgresql": open_postgresql,
    "sqlite": open_sqlite,
}


def open_gallery(settings: Settings) -> Gallery:
    """Opens the gallery of the settings.

    Raises:
        GalleryUnusable: if it cannot be opened.
        MasterKeyUnusable: if the master key cannot be read or created, or is another one.
    """
    scheme, _, _ = settings.gallery_url.partition(":")
    return GALLERIES[scheme](settings.gallery_url, master_keys(settings))


LoadEnsemble = Callable[[Path, Sequence[str], str, PrecisionChoice], Ensemble]


def open_ensemble(settings: Settings, load: LoadEnsemble) -> Ensemble:
    """Loads the nets of the settings, with `app.nets.store.load_ensemble` or a test's nets.

    What auto measures of precisions is kept beside the gallery's file or, if the gallery is a
    server's, beside the master key.

    Raises:
        app.nets.files.NetUnusable: if a net cannot be used.
        app.ensemble.NetsDisagree: if the nets cannot vote together.
    """
    scheme, _, file = settings.gallery_url.partition(":///")
    beside = Path(file) if scheme == "sqlite" else settings.master_key_file
    choice = PrecisionChoice(settings.precision, beside.with_name(CACHE))
    return load(settings.models_dir, settings.nets, settings.engine, choice)


def master_keys(settings: Settings) -> MasterKeys:
    """Returns the place of the master key."""
    given = settings.master_key.get_secret_value() if settings.master_key else None
    return MasterKeys(given, settings.master_key_file)


def make_inspector(settings: Settings, finder: Finder) -> Inspector:
    """Returns what reads palms from images, by the settings."""
    limits = ImageLimits(
        max_bytes=settings.max_image_mb * 2**20,
        max_pixels=settings.max_pixels,
        max_jpeg_pixels=settings.max_jpeg_pixels,
    )
    reader = PalmReader(finder, limits=limits, mode=settings.capture)
    return Inspector(reader, settings.quality_enroll)


def open_index(settings: Settings, ensemble: Ensemble, gallery: Gallery, outage: Outage) -> Index:
    """Returns the index of a gallery; in its database if PALM_SEARCH=pgvector.

    Raises:
        GalleryUnusable: if the gallery's database cannot search.
    """
    nets, weights = ensemble.nets, ensemble.fusion.weights
    if settings.search == "memory":
        return GalleryIndex(gallery, nets, weights, outage=outage)
    if not isinstance(gallery, CoarseGallery):
        raise GalleryUnusable("PALM_SEARCH=pgvector needs a gallery in PostgreSQL")
    return DatabaseIndex(gallery, gallery.coarse_store(), nets, weights, outage=outage)


def start_identifier(
    settings: Settings,
    calibrated: Calibrated,
    gallery: Gallery,
    inspector: Inspector,
    outage: Outage,
) -> Identifier:
    """Returns the use cases, after the trained identities are made subjects."""
    gallery.seed_trained(calibrated.ensemble.identities if settings.trained else ())
    return Identifier(
        calibrated.ensemble,
        gallery,
        inspector.reader,
        fpir_target=settings.fpir_target,
        fmr_target=settings.fmr_target,
        quality_enroll=settings.quality_enroll,
        quality_probe=settings.quality_probe,
        outage=outage,
        calibrated=calibrated.cameras,
        index=open_index(settings, calibrated.ensemble, gallery, outage),
    )
