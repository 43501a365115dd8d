"""Opens the index of the gallery, in memory or in its database."""

from app.ensemble import Ensemble
from app.gallery.coarse_tables import CoarseGallery
from app.gallery.database_index import DatabaseIndex
from app.gallery.errors import GalleryUnusable
from app.gallery.gallery import Gallery
from app.gallery.index import GalleryIndex
from app.gallery.outage import Outage
from app.gallery.searching import Index
from app.settings import Settings


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
