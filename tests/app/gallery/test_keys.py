"""The API keys of a gallery: durable, and the first one is made once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from app.keys import KeyUnknown, StoredKey, issue
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


def test_a_key_expires_at_the_earlier_time(open_gallery: Open) -> None:
    now = datetime.now(UTC)
    store = open_gallery().keys
    for_good, short = made("for good"), made("short", now - timedelta(days=1))
    store.add(for_good)
    store.add(short)
    assert store.expire(for_good.key.key_id, now).expires_at == now
    assert store.expire(for_good.key.key_id, now + timedelta(days=1)).expires_at == now
    assert store.expire(short.key.key_id, now).expires_at == short.key.expires_at
    assert [one.key.is_valid() for one in store.read()] == [False, False]
    with pytest.raises(KeyUnknown, match="'nobody'"):
        store.expire("nobody", now)


def test_all_keys_can_be_removed(open_gallery: Open) -> None:
    store = open_gallery().keys
    store.add(made("one"))
    assert store.clear() == 1
    assert store.read() == []
