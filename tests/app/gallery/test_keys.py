"""The API keys of a gallery: durable, and the first one is made once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.access.key_ring import issue
from app.access.keys import KeyUnknown, StoredKey
from tests.app.gallery.conftest import BOTH_STORES, Open

pytestmark = BOTH_STORES

MASTER_KEY = bytes(32)


def made(name: str, expires_at: datetime | None = None) -> StoredKey:
    return issue(name, ["identify", "read"], expires_at, MASTER_KEY)[0]


def test_keys_are_read_as_they_were_added_also_by_another_process(open_gallery: Open) -> None:
    until = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    first, second = made("first"), made("second", until)
    store = open_gallery().keys
    assert store.add(first)
    assert store.add(second)
    assert open_gallery().keys.read() == [first, second]


def test_the_first_key_is_made_by_one_of_several_processes(open_gallery: Open) -> None:
    stores = [open_gallery().keys for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(lambda store: store.add(made("first"), only_first=True), stores))
    assert sum(added) == 1
    assert len(stores[0].read()) == 1


def test_a_key_can_be_replaced(open_gallery: Open) -> None:
    store = open_gallery().keys
    first, second = made("first"), made("second")
    for one in (first, second):
        store.add(one)
    until = datetime(2030, 1, 2, tzinfo=UTC)
    changed = replace(first, key=first.key.model_copy(update={"expires_at": until}))
    store.replace(changed)
    assert store.read() == [changed, second]
    with pytest.raises(KeyUnknown, match="'nobody'"):
        store.replace(replace(first, key=first.key.model_copy(update={"key_id": "nobody"})))


def test_all_keys_can_be_removed(open_gallery: Open) -> None:
    store = open_gallery().keys
    store.add(made("one"))
    assert store.clear() == 1
    assert store.read() == []
