"""The sums of maps in the database, by camera: an enrolled subject has one share in each."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, insert, select

from app.gallery.encryption.cipher import NotAuthentic
from app.gallery.encryption.vault import SubjectKey, Vault
from app.gallery.errors import GalleryUnusable
from app.gallery.sql.batches import batches
from app.gallery.sql.schema import MAP_SUMS, MAPS, SUBJECTS
from app.matching.maps import MapShape, VeinMaps
from app.matching.mean_map import MapSum
from app.matching.templates import MapFormat


class Summed(NamedTuple):
    """Which maps a sum is over.

    Attributes:
        of: their format.
        camera: the camera that took the images; "" for the unnamed one.
    """

    of: MapFormat
    camera: str


Shares = Mapping[Summed, MapSum | None]


def read_sum(connection: Connection, vault: Vault, of: MapFormat, camera: str = "") -> MapSum:
    """Reads the sum of a format and camera; nobody's if no such map is enrolled.

    Raises:
        GalleryUnusable: if the sum is damaged.
    """
    own = is_sum(of.net, of.template_id, camera)
    row = connection.execute(select(MAP_SUMS).where(own)).mappings().first()
    if row is None:
        return MapSum.empty(of.shape)
    try:
        return MapSum.from_bytes(decrypt_sum(vault, row), row["subjects"], of.shape)
    except ValueError as error:
        raise _damage(of, str(error)) from error


def read_sums(
    connection: Connection, vault: Vault, formats: Iterable[MapFormat]
) -> dict[str, list[MapSum]]:
    """Reads the sums of some formats by camera, of the unnamed one at least.

    Raises:
        GalleryUnusable: if a sum is damaged.
    """
    cameras = connection.scalars(select(MAP_SUMS.c.camera).distinct())
    of = list(formats)
    return {
        camera: [read_sum(connection, vault, one, camera) for one in of]
        for camera in sorted({"", *cameras})
    }


def decrypt_sum(vault: Vault, row: RowMapping) -> bytes:
    """Returns the sum in a row of `MAP_SUMS`.

    Raises:
        GalleryUnusable: if it is damaged.
    """
    try:
        return vault.decrypt("sums", row["sums"], *_place(row))
    except NotAuthentic as error:
        of = f"{row['net']}:{row['template_id']}"
        raise _damage(of, "it cannot be decrypted") from error


def encrypt_sum(vault: Vault, plain: bytes, row: Mapping[Any, Any]) -> bytes:
    """Returns a sum as it is stored in a row of `MAP_SUMS` with these other columns."""
    return vault.encrypt("sums", plain, *_place(row))


def _place(row: Mapping[Any, Any]) -> list[str | int]:
    """Returns the columns that an encrypted sum is bound to."""
    place = [row[name] for name in ("net", "template_id", "side", "channels", "subjects")]
    return [*place, row["camera"]] if row["camera"] else place  # former releases named none


def _damage(of: object, reason: str) -> GalleryUnusable:
    return GalleryUnusable(
        f"the gallery is damaged: the sum of the maps of {of}: {reason}; restore a backup"
    )


def read_shares(
    connection: Connection, subject_id: str, key: SubjectKey, formats: Iterable[MapFormat]
) -> Shares:
    """Reads what a subject contributes to the sums of some formats; None where a map is damaged.

    There is a share for the unnamed camera, and for each other one that took an image of it.

    Args:
        connection: the transaction.
        subject_id: the subject.
        key: its key.
        formats: the formats.
    """
    shares: dict[Summed, MapSum | None] = {}
    for of in formats:
        query = select(MAPS.c.map, MAPS.c.number, MAPS.c.transform, MAPS.c.camera).where(
            MAPS.c.subject_id == subject_id,
            MAPS.c.net == of.net,
            MAPS.c.template_id == of.template_id,
        )
        maps: dict[str, list[bytes]] = {"": []}  # by camera
        for row in connection.execute(query.order_by(MAPS.c.map_id)):
            plain = key.decrypt_map(row.map, of.net, of.template_id, row.number, row.transform)
            maps.setdefault(row.camera, []).append(plain)
        for camera, own in maps.items():
            shares[Summed(of, camera)] = _share(own, of.shape)
    return shares


def summed_formats(connection: Connection) -> list[MapFormat]:
    """Returns the formats that have a sum, of any camera."""
    columns = (MAP_SUMS.c.net, MAP_SUMS.c.template_id, MAP_SUMS.c.side, MAP_SUMS.c.channels)
    return [
        MapFormat(row.net, row.template_id, MapShape(row.side, row.channels))
        for row in connection.execute(select(*columns).distinct())
    ]


def replace_shares(connection: Connection, vault: Vault, before: Shares, after: Shares) -> None:
    """Replaces a subject's shares in the sums; a share that one of both lacks is nobody's.

    A sum is computed again from all maps if it is damaged, or if one of the subject's maps is.
    """
    for of in dict.fromkeys([*before, *after]):
        nobody = MapSum.empty(of.of.shape)
        old, new = before.get(of, nobody), after.get(of, nobody)
        total = _read_intact_sum(connection, vault, of)
        if old is None or new is None or total is None:
            _write_sum(connection, vault, of, _recompute(connection, vault, of))
        elif old.subjects or new.subjects:
            _write_sum(connection, vault, of, total - old + new)


def read_summed(connection: Connection) -> set[Summed]:
    """Returns what there is a sum over."""
    return {
        Summed(MapFormat(row.net, row.template_id, MapShape(row.side, row.channels)), row.camera)
        for row in connection.execute(select(MAP_SUMS))
    }


def recompute_sums(connection: Connection, vault: Vault, over: Iterable[Summed]) -> None:
    """Computes sums anew from all maps, which takes time in proportion to the gallery."""
    for summed in over:
        _write_sum(connection, vault, summed, _recompute(connection, vault, summed))


def _read_intact_sum(connection: Connection, vault: Vault, of: Summed) -> MapSum | None:
    """Reads a sum; None if it is damaged."""
    try:
        return read_sum(connection, vault, *of)
    except GalleryUnusable:
        return None


def _share(stored: Iterable[bytes], shape: MapShape) -> MapSum | None:
    """Returns the share of a subject with these maps; None if one has a wrong size."""
    maps = list(stored)
    if not all(shape.may_be_stored(len(one)) for one in maps):
        return None
    return MapSum.of(VeinMaps.from_bytes(maps, shape)) if maps else MapSum.empty(shape)


def _recompute(connection: Connection, vault: Vault, summed: Summed) -> MapSum:
    """Computes a sum from the maps of all enrolled subjects without damaged ones."""
    of = summed.of
    query = select(SUBJECTS.c.number, SUBJECTS.c.subject_id).where(SUBJECTS.c.origin == "enrolled")
    total = MapSum.empty(of.shape)
    for some in batches(connection.execute(query.order_by(SUBJECTS.c.subject_id)).all()):
        ids = {row.number: row.subject_id for row in some}
        keys = {ids[number]: key for number, key in vault.keys_of(connection, ids).items()}
        rows = connection.execute(
            select(MAPS.c.subject_id, MAPS.c.map, MAPS.c.number, MAPS.c.transform)
            .where(
                MAPS.c.subject_id.in_(keys),
                MAPS.c.net == of.net,
                MAPS.c.template_id == of.template_id,
                MAPS.c.camera == summed.camera,
            )
            .order_by(MAPS.c.subject_id, MAPS.c.map_id)
            .execution_options(yield_per=100)
        )
        for subject_id, own in groupby(rows, attrgetter("subject_id")):
            maps = [
                keys[subject_id].decrypt_map(
                    row.map, of.net, of.template_id, row.number, row.transform
                )
                for row in own
            ]
            total += _share(maps, of.shape) or MapSum.empty(of.shape)
    return total


def _write_sum(connection: Connection, vault: Vault, summed: Summed, total: MapSum) -> None:
    of, camera = summed
    connection.execute(delete(MAP_SUMS).where(is_sum(of.net, of.template_id, camera)))
    if total.subjects <= 0:  # rounding must leave nothing of the last subject
        return
    row: dict[str, Any] = {
        "net": of.net,
        "template_id": of.template_id,
        "camera": camera,
        **of.shape._asdict(),
        "subjects": total.subjects,
    }
    row["sums"] = encrypt_sum(vault, total.to_bytes(), row)
    connection.execute(insert(MAP_SUMS), row)


def is_sum(net: str, template_id: str, camera: str) -> ColumnElement[bool]:
    """Returns the condition that finds one row of `MAP_SUMS`."""
    return and_(
        MAP_SUMS.c.net == net, MAP_SUMS.c.template_id == template_id, MAP_SUMS.c.camera == camera
    )
