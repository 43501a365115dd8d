"""Renaming, merging and reading of whole subjects, on every store."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.gallery.errors import (
    GalleryUnusable,
    HandsDiffer,
    SameSubject,
    SubjectAlike,
    SubjectExists,
    SubjectUnknown,
    TrainedFixed,
)
from app.gallery.gallery import Gallery
from app.gallery.index.memory import GalleryIndex
from app.gallery.sql import sqlite
from app.gallery.subject import Subject
from tests.app.conftest import largest_file
from tests.app.gallery.conftest import (
    ALEXNET,
    BOTH_STORES,
    SHAPE,
    VGG16,
    Open,
    ToyNet,
    change_maps,
    enroll,
    vein_maps,
)
from tests.app.gallery.test_erasure import (
    Files,
    files,  # noqa: F401
    key_bytes,
    reading,
    run_and_die,
    states,
)
from tests.app.gallery.test_templates import add, stored, sums

DETAILS = {
    "metadata": {"department": "Archive"},
    "consent": "form 1187",
    "retain_until": datetime.now(UTC) + timedelta(days=1),
}


def assert_alike(found: Sequence[Any], expected: Sequence[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def enroll_fully(gallery: Gallery, subject_id: str, seed: int) -> Subject:
    templates = {VGG16: vein_maps(2, seed), ALEXNET: vein_maps(2, seed, ALEXNET)}
    return gallery.enroll(subject_id, "Ada", "left", templates, add=False, details=DETAILS)


@BOTH_STORES
def test_a_renamed_subject_is_the_same_under_another_id(open_gallery: Open) -> None:
    gallery = open_gallery()
    before = enroll_fully(gallery, "ada", 1)
    add(gallery, "eve", 2)
    index = GalleryIndex(open_gallery(), [ToyNet(VGG16), ToyNet(ALEXNET)])
    probes = [vein_maps(1, 1), vein_maps(1, 1, ALEXNET)]
    assert index.verify("ada", probes)
    maps, summed, templates = stored(gallery), sums(gallery), gallery.templates("ada")
    erasure = gallery.records.rename("ada", "Ada")
    assert (erasure.erased, erasure.database) == ("id", "done")
    assert gallery.subject("Ada") == before.model_copy(update={"subject_id": "Ada"})
    assert gallery.templates("Ada") == templates
    assert stored(gallery) == {"Ada": maps["ada"], "eve": maps["eve"]}
    assert_alike(sums(gallery), summed)
    assert index.verify("ada", probes) is None
    assert index.verify("Ada", probes)
    index.close()
    with pytest.raises(SubjectUnknown):
        gallery.subject("ada")
    enroll(gallery, "ada-2")
    gallery.records.rename("ada-2", "another")
    gallery.delete("Ada")
    enroll(gallery, "ada")


@BOTH_STORES
def test_ids_that_are_taken_or_fixed_are_refused(gallery: Gallery) -> None:
    gallery.seed_trained(["p001"])
    add(gallery, "ada", 1)
    add(gallery, "Eve", 2)
    before = gallery.subjects(after=None, limit=9), stored(gallery)
    for new_id, error in (("Eve", SubjectExists), ("eve", SubjectAlike), ("ada", SubjectExists)):
        with pytest.raises(error, match=f"'{new_id}'"):
            gallery.records.rename("ada", new_id)
    with pytest.raises(TrainedFixed, match="'p001'"):
        gallery.records.rename("p001", "p002")
    with pytest.raises(SubjectUnknown, match="'bob'"):
        gallery.records.rename("bob", "bert")

    def refuse(subject: Subject) -> None:
        raise PermissionError(subject.subject_id)

    with pytest.raises(PermissionError, match="ada"):
        gallery.records.merge("ada", "Eve", check=refuse)
    assert (gallery.subjects(after=None, limit=9), stored(gallery)) == before


@BOTH_STORES
def test_merged_subjects_have_all_templates_as_if_added(open_gallery: Open) -> None:
    gallery = open_gallery()
    add(gallery, "eve", 3)  # its templates have lower numbers than those it goes to
    kept = enroll_fully(gallery, "ada", 1)
    add(gallery, "bob", 4)
    index = GalleryIndex(open_gallery(), [ToyNet(VGG16), ToyNet(ALEXNET)])
    probes = [vein_maps(1, 3), vein_maps(1, 3, ALEXNET)]
    found = index.verify("ada", probes)
    assert found
    before = found.by_net
    maps, templates = stored(gallery), [*gallery.templates("eve"), *gallery.templates("ada")]
    erasure = gallery.records.merge("ada", "eve")
    assert (erasure.erased, erasure.database) == ("subject", "done")
    assert stored(gallery) == {"ada": maps["ada"] + maps["eve"], "bob": maps["bob"]}
    assert gallery.templates("ada") == templates
    subject = gallery.subject("ada")
    assert (subject.name, subject.metadata) == (kept.name, kept.metadata)
    found = index.verify("ada", probes)
    assert found
    assert found.template_counts[0] == 3
    assert all(now[0] > then[0] for now, then in zip(found.by_net, before, strict=True))
    assert index.verify("eve", probes) is None
    index.close()
    summed = sums(gallery)
    for one in ("ada", "bob"):
        gallery.delete(one)
    add(gallery, "ada", 1)  # of the same maps anew: two at once, then one
    gallery.delete("ada")
    enroll_fully(gallery, "ada", 1)
    add(gallery, "ada", 3)
    add(gallery, "bob", 4)
    assert_alike(sums(gallery), summed)


@BOTH_STORES
def test_subjects_that_cannot_be_one_are_refused(gallery: Gallery) -> None:
    gallery.seed_trained(["p001"])
    add(gallery, "ada", 1)
    add(gallery, "eve", 2)
    gallery.update("ada", {"hand": "left"})
    gallery.update("eve", {"hand": "right"})
    before = gallery.subjects(after=None, limit=9), stored(gallery)
    with pytest.raises(HandsDiffer, match="'eve' and 'ada'"):
        gallery.records.merge("ada", "eve")
    with pytest.raises(SameSubject, match="'ada'"):
        gallery.records.merge("ada", "ada")
    with pytest.raises(TrainedFixed, match="'p001'"):
        gallery.records.merge("ada", "p001")
    for pair in (("ada", "bob"), ("bob", "ada")):
        with pytest.raises(SubjectUnknown, match="'bob'"):
            gallery.records.merge(*pair)
    assert (gallery.subjects(after=None, limit=9), stored(gallery)) == before
    gallery.records.merge("p001", "ada")
    assert len(gallery.templates("p001")) == 1
    assert gallery.sums_by_camera([VGG16])[""][0].subjects == 1  # trained identities are not in it


@BOTH_STORES
def test_a_damaged_template_stays_damaged_and_sums_stay_right(gallery: Gallery) -> None:
    add(gallery, "ada", 1)
    change_maps(gallery, lambda _: b"damaged")
    add(gallery, "eve", 2)
    add(gallery, "bob", 3)
    gallery.records.rename("ada", "ida")
    gallery.records.merge("ida", "eve")
    assert [len(one) for one in stored(gallery)["ida"]] == [7, SHAPE.stored_bytes]
    assert gallery.sums_by_camera([VGG16])[""][0].subjects == 1  # without the damaged one


@BOTH_STORES
def test_a_record_holds_all_of_one_subject_and_nothing_of_another(gallery: Gallery) -> None:
    add(gallery, "ada", 9)
    gallery.delete("ada")  # an earlier subject of the same id
    enroll_fully(gallery, "ada", 1)
    add(gallery, "eve", 2)
    add(gallery, "ada", 3, ["hand"])
    first, *_ = gallery.templates("ada")
    gone = gallery.remove_template("ada", first.number)
    gallery.remove_template("ada", gallery.templates("ada")[0].number)
    record = gallery.records.read("ada")
    assert record.subject == gallery.subject("ada")
    assert record.templates == gallery.templates("ada")
    assert record.erasures[0] == gallery.erasure(gone.erasure_id)
    assert [one.erased for one in record.erasures] == ["template", "template"]
    number = record.templates[0].number
    of_nets = [(one.number, one.net, one.shape) for one in record.maps]
    assert of_nets == [(number, of.net, of.shape) for of in (ALEXNET, VGG16)]
    assert record.maps[1].content == vein_maps(1, 3).to_bytes()[0]


@BOTH_STORES
def test_a_record_has_the_receipts_of_former_ids_and_none_of_others_who_had_them(
    gallery: Gallery,
) -> None:
    def thin(subject_id: str) -> str:
        number = gallery.templates(subject_id)[0].number
        return gallery.remove_template(subject_id, number).erasure_id

    def receipts(subject_id: str) -> list[str]:
        return [one.erasure_id for one in gallery.records.read(subject_id).erasures]

    gallery.enroll("ada", None, None, {VGG16: vein_maps(4, 1)}, add=False)
    enroll(gallery, "eve", seed=2)
    expected = [thin("ada"), gallery.records.rename("ada", "ida").erasure_id]
    enroll(gallery, "ada", seed=3)  # another one
    of_other = [thin("ada"), thin("eve")]
    gallery.delete("eve")
    expected += [thin("ida"), gallery.records.rename("ida", "eve").erasure_id]
    gallery.update("eve", {"consent": "form 1", "metadata": {}})
    gallery.update("eve", {"consent": None})
    expected.append(thin("eve"))
    assert receipts("eve") == expected
    assert receipts("ada") == of_other[:1]


@BOTH_STORES
def test_no_details_are_in_plain_bytes_and_former_keys_are_gone(
    gallery: Gallery,
    files: Files,  # noqa: F811
) -> None:
    plain = [b"Zuse-Archive", b"form-Zuse", b"Konrad Zuse"]
    details = {"metadata": {"department": "Zuse-Archive"}, "consent": "form-Zuse"}
    for one in ("zuse-left", "zuse-again"):
        templates = {VGG16: vein_maps(2, 61)}
        gallery.enroll(one, "Konrad Zuse", None, templates, add=False, details=details)
    former = [key_bytes(gallery, "zuse-left"), key_bytes(gallery, "zuse-again")]
    assert all(one in files() for one in former)
    gallery.update("zuse-left", {"metadata": {"department": "elsewhere"}})
    renamed = gallery.records.rename("zuse-left", "kz")
    merged = gallery.records.merge("kz", "zuse-again")
    assert not [one for one in plain if one in files()]
    receipts = {one.erasure_id: one for one in gallery.verify_erasures()}
    for wrapped, erasure in zip(former, (renamed, merged), strict=True):
        # PostgreSQL's log keeps it for a while, and the receipt says so.
        assert wrapped not in files() or receipts[erasure.erasure_id].log == "pending"


def test_what_is_overwritten_and_former_ids_are_in_no_file_of_sqlite(
    gallery: Gallery,
    files: Files,  # noqa: F811
    path: Path,
) -> None:
    details = {"metadata": {"department": "Archive"}}
    for one in ("zuse-left", "zuse-again"):
        gallery.enroll(one, None, None, {VGG16: vein_maps(2, 61)}, add=False, details=details)
    execute = sqlite.sqlite3.connect(path)
    (stored_details,) = execute.execute(
        "SELECT details FROM subjects WHERE subject_id = 'zuse-left'"
    ).fetchone()
    execute.close()
    wrapped = key_bytes(gallery, "zuse-left"), key_bytes(gallery, "zuse-again")
    gallery.update("zuse-left", {"metadata": {"department": "elsewhere"}})
    erasures = [
        gallery.records.rename("zuse-left", "kz"),
        gallery.records.merge("kz", "zuse-again"),
    ]
    assert [states(one) for one in erasures] == [("done", "done")] * 2
    for trace in (stored_details.encode(), *wrapped, b"zuse-left", b"zuse-again"):
        assert trace not in files()


def test_with_a_foreign_reader_a_rename_is_pending(
    gallery: Gallery, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PURGE_TIMEOUT_S", 0)
    add(gallery, "ada", 1)
    with reading(path.with_name("gallery.db.keys")):
        erasure = gallery.records.rename("ada", "ida")
        assert states(erasure) == ("pending", "pending")
    gallery.update("ida", {"hand": "left"})
    assert states(gallery.erasure(erasure.erasure_id)) == ("done", "done")


@pytest.mark.parametrize(
    "act",
    ["gallery.records.rename('ada', 'ida')", "gallery.records.merge('ada', 'eve')"],
    ids=["rename", "merge"],
)
def test_a_crash_or_full_disk_leaves_both_or_one_wholly(
    open_gallery: Open, path: Path, act: str
) -> None:
    gallery = open_gallery()
    add(gallery, "ada", 1)
    add(gallery, "eve", 2)
    before = stored(gallery)
    with largest_file(40_000), pytest.raises(GalleryUnusable, match="disk has room"):
        eval(act, {"gallery": gallery})
    assert stored(gallery) == before
    gallery.close()
    run_and_die(path, "moving.replace_shares" if "merge" in act else "moving.renumber", act)
    gallery = open_gallery()
    assert stored(gallery) == before
    gallery.close()
    run_and_die(path, "sqlite.SqliteFiles.purge", act)
    gallery = open_gallery()
    everything = [one for maps in stored(gallery).values() for one in maps]
    assert sorted(everything) == sorted(one for maps in before.values() for one in maps)
    assert [states(one) for one in gallery.verify_erasures()] == [("done", "done")]
