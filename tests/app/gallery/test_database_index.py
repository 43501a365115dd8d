"""The index in the database: it answers as the one in memory, and nothing of the erased is left."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from app.gallery.errors import GalleryUnusable
from app.gallery.following import START
from app.gallery.gallery import Gallery
from app.gallery.index import comparison
from app.gallery.index.cameras import UNNAMED, Cameras
from app.gallery.index.comparison import Found
from app.gallery.index.memory import GalleryIndex
from app.gallery.outage import Outage
from app.gallery.pgvector import following as coarse_following
from app.gallery.pgvector import schema as coarse_schema
from app.gallery.pgvector import tables as coarse_tables
from app.gallery.pgvector.coarse import Replaced, rows_of, windows_of
from app.gallery.pgvector.index import DatabaseIndex
from app.gallery.pgvector.tables import CoarseGallery, CoarseTables
from app.gallery.sql import postgresql
from app.master_key import MasterKeys
from app.matching.transform import Transform
from app.settings import Settings
from app.wiring import GALLERIES, open_index
from tests.app.conftest import MASTER_KEYS
from tests.app.gallery.conftest import Open, change_maps
from tests.app.gallery.test_erasure import (  # noqa: F401
    Files,
    files,
    log_without_recycling,
    states,
)
from tests.app.gallery.test_index import (  # noqa: F401
    NETS,
    check,
    enroll,
    ids,
    joined,
    nearly,
    palm,
    probe,
    shipped,
    test_a_search_equals_comparing_every_map,
    test_a_subject_needs_comparable_templates_of_every_net,
    test_an_empty_gallery_has_nobody,
    test_an_erased_identity_s_shipped_templates_are_not_used,
)


@pytest.fixture
def store() -> str:
    return "postgresql"


def index_of(gallery: Gallery, weights: Sequence[float] = ()) -> DatabaseIndex:
    assert isinstance(gallery, CoarseGallery)
    return DatabaseIndex(gallery, gallery.coarse_store(), NETS, weights)


@pytest.fixture
def index(gallery: Gallery) -> DatabaseIndex:
    return index_of(gallery)


@pytest.fixture
def execute(url: str) -> Callable[[str], list[Any]]:
    def execute_alone(statement: str) -> list[Any]:
        with psycopg.connect(url, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    return execute_alone


Execute = Callable[[str], list[Any]]


def tables(execute: Execute) -> list[str]:
    """The names of the tables of coarse maps."""
    query = "SELECT relname FROM pg_class WHERE relname ~ '^coarse_[0-9]+$' AND relkind = 'p'"
    return sorted(name for (name,) in execute(query))


def stored_bits(execute: Execute) -> list[bytes]:
    """The bytes of all coarse maps."""
    (table,) = tables(execute)
    texts = [bits for (bits,) in execute(f"SELECT bits FROM {table} ORDER BY number, place")]
    return [int(bits, 2).to_bytes(len(bits) // 8) for bits in texts]


def by_id(found: Found) -> dict[str, list[float]]:
    scores = np.stack(found.by_net, 1).tolist()
    return {one.subject_id: own for one, own in zip(found.subjects, scores, strict=True)}


def is_same(found: Found, expected: Found, only: Collection[str] = ()) -> bool:
    """Compares what two searches found, whatever the order; `only` these subjects if given."""
    ours, theirs = by_id(found), by_id(expected)
    assert ours.keys() == (set(only) or theirs.keys())
    for subject_id, scores in ours.items():
        assert scores == pytest.approx(theirs[subject_id], abs=1e-5)
    assert found.gallery_size == expected.gallery_size
    assert found.impostors == expected.impostors
    return found.fused_impostors == expected.fused_impostors


@pytest.mark.parametrize("weights", [(), (0.2, 0.8)], ids=["first net", "heaviest net"])
def test_it_proposes_the_same_subjects_as_the_index_in_memory(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, weights: Sequence[float]
) -> None:
    gallery.seed_trained(["p001", "p002"])
    for i in range(30):  # enough for a mean map; some have masked places or several images
        masked = palm(i, images=1 + i % 3, masked=0.2 * (i % 2))
        gallery.enroll(f"s{i}", None, None, masked, add=False)
    ours, theirs = index_of(gallery, weights), GalleryIndex(gallery, NETS, weights)
    assert theirs.describe().searchable == ours.describe().searchable == 32
    assert theirs.mean_map.subjects == ours.mean_map.subjects == 30
    everybody = by_id(theirs.search(probe(3)))
    proposer, view = theirs._proposer, theirs._current()
    mean = view.means.of(UNNAMED).maps[proposer]
    for images, most in [(1, 1), (1, 12), (3, 5), (3, 20)]:
        monkeypatch.setattr(comparison, "CANDIDATES", most)
        own = [nearly(palm(7, images)[net.format], seed=images) for net in NETS]
        for probes in (probe(90 + most, images), probe(60, images, masked=0.3), own):
            similar = comparison.coarse_similarity(
                view.rows[proposer], len(view.subjects), probes[proposer], mean
            )
            found = ours.search(probes)
            proposed = by_id(found).keys()
            slots = [view.slots[one] for one in proposed]
            others = [view.slots[one] for one in everybody if one not in proposed]
            assert len(slots) == most
            assert similar[slots].min() >= similar[others].max() - 1e-6  # as short as these are
            assert is_same(found, theirs.search(probes), only=proposed)
        assert "s7" in proposed


def test_every_change_by_another_process_is_seen_by_the_next_call(open_gallery: Open) -> None:
    here, index = open_gallery(), index_of(open_gallery())
    assert ids(index) == set()
    enroll(here, "ada", seed=1)
    enroll(here, "eve", seed=2)
    here.update("ada", {"name": "Ada"})
    assert {s.name for s in index.search(probe(1)).subjects} == {"Ada", None}
    enroll(here, "ada", seed=3, images=2)
    check(index.search(probe(9)), {"ada": joined(palm(1), palm(3, 2)), "eve": palm(2)}, probe(9))
    first, *_ = here.templates("ada")
    here.remove_template("ada", first.number)
    check(index.search(probe(9)), {"ada": palm(3, 2), "eve": palm(2)}, probe(9))
    assert index.describe().searchable == 2
    here.delete("ada")
    check(index.search(probe(9)), {"eve": palm(2)}, probe(9))
    assert index.verify("ada", probe(1)) is None
    assert index.agreement("ada", probe(1)) == []
    enroll(here, "ada", seed=5)
    check(index.search(probe(9)), {"ada": palm(5), "eve": palm(2)}, probe(9))
    one = index.verify("ada", probe(5))
    assert one is not None
    assert one.gallery_size == index.describe().searchable == 2
    memory = GalleryIndex(here, NETS)
    for ours, theirs in zip(
        index.agreement("ada", probe(5)), memory.agreement("ada", probe(5)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_images_of_cameras_that_take_turns_are_all_added(
    gallery: Gallery, index: DatabaseIndex, execute: Execute
) -> None:
    for seed, camera in enumerate(["gate", "door", "gate"]):
        gallery.enroll("ada", None, None, palm(seed), add=True, camera=camera)
        index.refresh()
        assert len(set(stored_bits(execute))) == seed + 1
    check(index.search(probe(9)), {"ada": joined(palm(0), palm(1), palm(2))}, probe(9))


def test_trained_identities_are_compared_with_shipped_and_added_templates(
    gallery: Gallery, index: DatabaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coarse_following, "SUBJECTS_PER_PAGE", 1)  # both have one revision
    gallery.seed_trained(["p001", "p002"])
    check(index.search(probe(3)), {"p001": shipped(0), "p002": shipped(1)}, probe(3))
    enroll(gallery, "p001", seed=4)
    expected = {"p001": joined(shipped(0), palm(4)), "p002": shipped(1)}
    check(index.search(probe(3)), expected, probe(3))


class Interfering:
    """Acts once, after the next page of changes that is read."""

    def __init__(self, gallery: Gallery, act: Callable[[], object]) -> None:
        self.store, self.act = gallery, [act]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def changes(self, *given: Any) -> Any:
        found = self.store.changes(*given)
        if self.act and found.subjects:
            self.act.pop()()
        return found


def test_whoever_is_erased_between_reading_and_adding_is_not_added(
    gallery: Gallery, execute: Execute
) -> None:
    enroll(gallery, "ada", seed=1)
    enroll(gallery, "eve", seed=2)
    store = index_of(gallery)._store
    hooked: Any = Interfering(gallery, lambda: gallery.delete("ada"))
    index = DatabaseIndex(hooked, store, NETS)
    check(index.search(probe(9)), {"eve": palm(2)}, probe(9))
    assert len(stored_bits(execute)) == index.describe().searchable == 1


def test_whoever_is_erased_during_a_search_is_left_out(
    gallery: Gallery, index: DatabaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(4):
        enroll(gallery, f"s{i}", seed=i)
    compare = comparison.compare_one

    def erase_first(*given: Any) -> NDArray[np.float32]:
        monkeypatch.undo()
        gallery.delete("s2")
        return compare(*given)

    monkeypatch.setattr(comparison, "compare_one", erase_first)
    check(index.search(probe(9)), {f"s{i}": palm(i) for i in (0, 1, 3)}, probe(9))


@pytest.mark.parametrize("after", ["propose", "read"])
def test_whoever_is_moved_during_a_search_is_not_shown_to_callers_of_the_former_collection(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    for i in range(3):
        enroll(gallery, f"s{i}", seed=i)
    index = index_of(gallery)
    index.refresh()
    asked = getattr(CoarseTables, after)

    def move_then(*given: Any) -> Any:
        found = asked(*given)
        monkeypatch.undo()
        gallery.update("s2", {"collection": "guests"})
        return found

    monkeypatch.setattr(CoarseTables, after, move_then)
    found = index.search(probe(9), frozenset({"default"}))
    check(found, {f"s{i}": palm(i) for i in (0, 1)}, probe(9))


def test_another_mean_map_takes_effect_in_every_process_at_once(
    open_gallery: Open, execute: Execute
) -> None:
    here, there = (index_of(open_gallery()) for _ in range(2))
    gallery = open_gallery()
    for i in range(19):
        enroll(gallery, f"s{i:02}", seed=i)
    assert here.describe().searchable == there.describe().searchable == 19
    assert here.mean_map.subjects == 0
    (former,) = tables(execute)
    enroll(gallery, "s19", seed=19)
    expected = by_id(here.search(probe(3)))  # of the former version: the new one is built meanwhile
    assert len(expected) == 20
    here.settle()
    for index in (here, there):
        assert by_id(index.search(probe(3))) != expected
        assert index.mean_map.subjects == 20
        assert is_same(index.search(probe(3)), GalleryIndex(gallery, NETS).search(probe(3)))
    assert len(tables(execute)) == 1
    assert tables(execute) != [former]
    assert execute("SELECT count(*) FROM secrets WHERE name LIKE 'coarse %'") == [(1,)]


def test_a_mean_map_whose_version_is_replaced_meanwhile_is_no_failure(
    gallery: Gallery,
    index: DatabaseIndex,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    index.refresh()
    for i in range(20):
        enroll(gallery, f"s{i}", seed=i)

    def begin(*_: Any) -> Any:
        monkeypatch.undo()
        raise Replaced

    monkeypatch.setattr(CoarseTables, "begin", begin)
    index.refresh()
    index.settle()
    assert (caplog.messages, index.mean_map.subjects) == ([], 0)
    index.refresh()
    index.settle()
    index.refresh()
    assert index.mean_map.subjects == 20


def test_a_version_that_was_never_completed_is_not_used_and_goes_away(
    gallery: Gallery, execute: Execute
) -> None:
    for i in range(3):
        enroll(gallery, f"s{i}", seed=i)

    def die() -> None:
        raise KeyboardInterrupt

    hooked: Any = Interfering(gallery, die)
    store = index_of(gallery)._store
    with pytest.raises(KeyboardInterrupt):
        DatabaseIndex(hooked, store, NETS).refresh()
    (unfinished,) = tables(execute)
    assert index_of(gallery).describe().searchable == 3
    assert len(tables(execute)) == 1
    assert tables(execute) != [unfinished]


def test_searches_go_on_while_their_version_is_replaced(
    gallery: Gallery, index: DatabaseIndex, monkeypatch: pytest.MonkeyPatch, execute: Execute
) -> None:
    enroll(gallery, "ada", seed=1)
    index.refresh()
    propose = CoarseTables.propose

    def replace_first(*given: Any) -> Any:
        monkeypatch.undo()
        index._follower.build(Cameras.without(NETS))
        return propose(*given)

    monkeypatch.setattr(CoarseTables, "propose", replace_first)
    check(index.search(probe(9)), {"ada": palm(1)}, probe(9))
    assert len(tables(execute)) == 1


def test_a_version_that_is_read_is_removed_later(
    gallery: Gallery,
    index: DatabaseIndex,
    url: str,
    execute: Execute,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(coarse_tables, "DROP_TIMEOUT_S", 0.01)
    enroll(gallery, "ada", seed=1)
    index.refresh()
    (former,) = tables(execute)
    with psycopg.connect(url) as foreign:
        foreign.execute(f"SELECT count(*) FROM {former}")  # type: ignore[arg-type]
        index._follower.build(Cameras.without(NETS))
        check(index.search(probe(9)), {"ada": palm(1)}, probe(9))
        assert former in tables(execute)
    index._follower.build(Cameras.without(NETS))
    assert former not in tables(execute)


def test_a_database_that_was_put_back_gets_new_coarse_maps(
    open_gallery: Open, execute: Execute
) -> None:
    gallery = open_gallery()
    index = index_of(gallery)
    enroll(gallery, "ada", seed=1)
    former_revision = gallery.revision()
    enroll(gallery, "eve", seed=2)
    index.refresh()
    (former,) = tables(execute)
    # As pg_restore leaves it with a dump from before the first search in the database.
    execute("DROP TRIGGER forget_coarse ON subjects; DELETE FROM subjects WHERE changed > 1")
    execute(f"UPDATE gallery SET revision = {former_revision}")
    with pytest.raises(GalleryUnusable, match="put back to revision"):
        index.search(probe(9))
    again = open_gallery()
    later = index_of(again)
    check(later.search(probe(9)), {"ada": palm(1)}, probe(9))
    assert len(tables(execute)) == 1
    assert tables(execute) != [former]
    again.delete("ada")
    assert later.describe().searchable == 0
    assert stored_bits(execute) == []


def test_a_damaged_template_is_reported_until_its_subject_is_deleted(
    gallery: Gallery, index: DatabaseIndex
) -> None:
    enroll(gallery, "ada", seed=1)
    index.refresh()
    change_maps(gallery, lambda stored: stored[1:])
    with pytest.raises(GalleryUnusable, match=r"templates of .* of subject 'ada'.*cannot be read"):
        index.search(probe(1))
    gallery.delete("ada")
    enroll(gallery, "eve", seed=2)
    check(index.search(probe(9)), {"eve": palm(2)}, probe(9))


def test_the_bits_are_transformed_and_the_mean_maps_encrypted(
    gallery: Gallery,
    index: DatabaseIndex,
    execute: Execute,
    files: Files,  # noqa: F811
) -> None:
    for i in range(20):
        enroll(gallery, f"s{i}", seed=i)
    index.refresh()
    size = len(execute(f"SELECT bits FROM {tables(execute)[0]} LIMIT 1")[0][0])
    plain = Transform(bytes(32), size, "")
    plain.order, plain.flips = np.arange(size), np.zeros(size, np.bool_)
    changes = gallery.changes(START, [net.format for net in NETS], 99)
    means = index._follower.means
    rows = rows_of(changes, NETS, means, index._proposer, plain)
    bits = [int(one, 2).to_bytes(size // 8) for one in rows.bits]
    content = files()
    assert not any(one in content for one in bits)
    assert all(one in content for one in stored_bits(execute))
    mean = means.of(UNNAMED).maps[0]
    assert mean is not None
    assert mean.tobytes()[:16] not in content
    assert len({text for text in windows_of(probe(1)[0], mean, plain)[0]}) == 25


def data_files(server: psycopg.Connection) -> bytes:
    """Returns the bytes of all files of the server but its log."""
    server.execute("CHECKPOINT")
    folder = Path(server.execute("SHOW data_directory").fetchall()[0][0])
    kept = [one for one in folder.rglob("*") if one.is_file() and "pg_wal" not in one.parts]
    return b"".join(one.read_bytes() for one in kept)


@pytest.mark.parametrize("subjects_per_partition", [1, 100])
def test_no_file_holds_the_coarse_maps_of_the_erased(
    gallery: Gallery,
    server: psycopg.Connection,
    execute: Execute,
    monkeypatch: pytest.MonkeyPatch,
    subjects_per_partition: int,
) -> None:
    monkeypatch.setattr(coarse_schema, "SUBJECTS_PER_PARTITION", subjects_per_partition)
    for i in range(8):
        enroll(gallery, f"s{i}", seed=i, images=2)
    index = index_of(gallery)
    index.refresh()
    enroll(gallery, "s3", seed=50)  # a third image, added to a version that is complete
    index.refresh()
    execute("ANALYZE")  # as the server does by itself; its statistics could quote rows
    traces = stored_bits(execute)
    assert len(traces) == 17
    content = data_files(server)
    assert all(one in content for one in traces)
    assert gallery.delete("s3").database == "done"  # whether or not an index follows
    gone = [one for one in traces if one not in stored_bits(execute)]
    assert len(gone) == 3
    number = gallery.templates("s5")[0].number
    assert gallery.remove_template("s5", number).database == "done"
    gone += traces[-6:-4]
    content = data_files(server)
    assert not any(one in content for one in gone)
    index.refresh()
    assert len(stored_bits(execute)) == 13
    assert index.describe().searchable == 7


def test_an_older_transaction_keeps_the_erasure_of_coarse_maps_pending(
    gallery: Gallery,
    index: DatabaseIndex,
    url: str,
    execute: Execute,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(postgresql, "LOCK_TIMEOUT_S", 0.01)
    enroll(gallery, "ada", seed=1)
    enroll(gallery, "eve", seed=2)
    index.refresh()
    with psycopg.connect(url) as foreign:
        foreign.execute(f"SELECT count(*) FROM {tables(execute)[0]}")
        erasure = gallery.delete("ada")
        assert erasure.database == "pending"
        assert ids(index) == {"eve"}
    gallery.update("eve", {"hand": "left"})
    assert gallery.erasure(erasure.erasure_id).database == "done"


def test_the_log_is_pending_until_it_holds_no_coarse_map(
    gallery: Gallery,
    index: DatabaseIndex,
    execute: Execute,
    files: Files,  # noqa: F811
    log_without_recycling: Callable[[], None],  # noqa: F811
) -> None:
    enroll(gallery, "ada", seed=1)
    enroll(gallery, "eve", seed=2)
    log_without_recycling()  # forgets the key, which was written before the coarse map
    index.refresh()
    trace = stored_bits(execute)[0]
    gallery.delete("ada")
    assert trace in files()
    assert [states(one) for one in gallery.verify_erasures()] == [("done", "pending")]
    log_without_recycling()
    assert [states(one) for one in gallery.verify_erasures()] == [("done", "done")]
    assert trace not in files()


def test_a_rotation_of_the_master_key_changes_no_answer(url: str, tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    file.write_text("11" * 32)
    masters = MasterKeys(None, file)
    here, there = (GALLERIES["postgresql"](url, masters) for _ in range(2))
    enroll(here, "ada", seed=1)
    index, other = index_of(here), index_of(there)
    before = by_id(index.search(probe(9)))
    assert by_id(other.search(probe(9))) == before
    file.write_text("22" * 32 + "\n" + "11" * 32)
    here.rotate_master_key(b"\x22" * 32)
    file.write_text("22" * 32)
    enroll(here, "eve", seed=2)
    later = GALLERIES["postgresql"](url, masters)
    for one in (index, other, index_of(later)):
        assert by_id(one.search(probe(9)))["ada"] == before["ada"]
    for gallery in (here, there, later):
        gallery.close()


def test_what_is_erased_has_left_the_process_when_no_call_is_under_way(
    gallery: Gallery, index: DatabaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    enroll(gallery, "ada", seed=1)
    index.refresh()
    gallery.delete("ada")
    assert index.forget_erased() == (True, True)
    seen: list[object] = []
    monkeypatch.setattr(
        index._store, "propose", lambda *_: seen.append(index.forget_erased()) or ()
    )
    index.search(probe(1))
    assert seen == [(True, False)]


def test_without_the_extension_the_message_says_what_to_do(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(gallery, CoarseGallery)
    monkeypatch.setattr(coarse_schema, "EXTENSION", "no_such_extension")
    with pytest.raises(GalleryUnusable, match=r"install.*or set PALM_SEARCH=memory"):
        gallery.coarse_store()
    monkeypatch.undo()
    monkeypatch.setattr(coarse_schema, "OLDEST_PGVECTOR", (99, 0))
    with pytest.raises(GalleryUnusable, match=r"needs pgvector 99\.0 or newer.*ALTER EXTENSION"):
        gallery.coarse_store()


def test_a_user_who_may_not_create_the_extension_is_told_who_may(
    url: str, server: psycopg.Connection, execute: Execute
) -> None:
    server.execute("CREATE ROLE plain LOGIN")
    execute("GRANT ALL ON SCHEMA public TO plain")
    gallery = GALLERIES["postgresql"](url.replace("postgres@", "plain@"), MASTER_KEYS)
    assert isinstance(gallery, CoarseGallery)
    try:
        with pytest.raises(GalleryUnusable, match="superuser run CREATE EXTENSION vector"):
            gallery.coarse_store()
        execute("CREATE EXTENSION vector")
        enroll(gallery, "ada", seed=1)
        assert ids(index_of(gallery)) == {"ada"}
    finally:
        gallery.close()
        execute("DROP OWNED BY plain CASCADE")
        server.execute("DROP ROLE plain")


def test_a_gallery_that_is_only_searched_in_memory_needs_no_extension(
    gallery: Gallery, execute: Execute
) -> None:
    enroll(gallery, "ada", seed=1)
    GalleryIndex(gallery, NETS).refresh()
    gallery.delete("ada")
    gallery.verify_erasures()
    assert execute("SELECT extname FROM pg_extension WHERE extname = 'vector'") == []
    assert tables(execute) == []


def test_the_setting_chooses_the_index(gallery: Gallery) -> None:
    ensemble: Any = SimpleNamespace(nets=NETS, fusion=SimpleNamespace(weights=()))
    enroll(gallery, "ada", seed=1)
    for search, expected in [("memory", GalleryIndex), ("pgvector", DatabaseIndex)]:
        settings = Settings(search=search, gallery_url="postgresql://palm@host/palm")
        index = open_index(settings, ensemble, gallery, Outage())
        assert isinstance(index, expected)
        check(index.search(probe(9)), {"ada": palm(1)}, probe(9))
