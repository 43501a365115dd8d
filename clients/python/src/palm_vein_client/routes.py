"""The methods that both clients have, each said once: their arguments are those of `calls`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

from palm_vein_client import calls, models
from palm_vein_client.call import Call

if TYPE_CHECKING:
    from palm_vein_client.clients import AsyncPalmClient, PalmClient

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")


class Page(Protocol):
    """An answer with one page of a list."""

    next: str | None


PageT = TypeVar("PageT", bound=Page)


class Route(Generic[P, T]):
    """A method that sends a call and returns its result."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: "PalmClient", owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncPalmClient", owner: Any) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Any, owner: Any) -> Any:
        @wraps(self._build)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self._build(*args, **kwargs))

        return self._build if client is None else method


class Stream(Generic[P, T]):
    """A method that sends a call and yields the lines of its answer as they arrive."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: "PalmClient", owner: Any) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: "AsyncPalmClient", owner: Any) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Any, owner: Any) -> Any:
        @wraps(self._build)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.stream(self._build(*args, **kwargs))

        return self._build if client is None else method


class Pages(Generic[P, PageT, Item]):
    """A method that yields the items of all pages; a page is asked for when it is needed."""

    def __init__(
        self, build: Callable[P, Call[PageT]], items: Callable[[PageT], Sequence[Item]]
    ) -> None:
        self._build, self._items = build, items
        self.__doc__ = "Yields the items of all pages; the arguments are those of one page."

    @overload
    def __get__(self, client: "PalmClient", owner: Any) -> Callable[P, Iterator[Item]]: ...
    @overload
    def __get__(
        self, client: "AsyncPalmClient", owner: Any
    ) -> Callable[P, AsyncIterator[Item]]: ...
    def __get__(self, client: Any, owner: Any) -> Any:
        @wraps(self._build)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.items(self._build(*args, **kwargs), self._items)

        return self._build if client is None else method


def following(call: Call[PageT], page: PageT) -> Call[PageT] | None:
    """Returns the call for the next page; None after the last one."""
    return replace(call, query={**call.query, "after": page.next}) if page.next else None


def _subjects(page: models.Subjects) -> list[models.Subject]:
    return page.subjects


class Routes:
    """Every route of the service."""

    identify = Route(calls.identify)
    identify_batch = Stream(calls.identify_batch)
    verify = Route(calls.verify)
    inspect = Route(calls.inspect)
    enroll = Route(calls.enroll)
    list_subjects = Route(calls.list_subjects)
    iterate_subjects = Pages(calls.list_subjects, _subjects)
    show_subject = Route(calls.show_subject)
    change_subject = Route(calls.change_subject)
    erase_subject = Route(calls.erase_subject)
    rename_subject = Route(calls.rename_subject)
    merge_subjects = Route(calls.merge_subjects)
    export_subject = Route(calls.export_subject)
    list_templates = Route(calls.list_templates)
    erase_template = Route(calls.erase_template)
    list_collections = Route(calls.list_collections)
    show_erasure = Route(calls.show_erasure)
    list_keys = Route(calls.list_keys)
    create_key = Route(calls.create_key)
    revoke_key = Route(calls.revoke_key)
    show_caller = Route(calls.show_caller)
    show_audit = Route(calls.show_audit)
    list_models = Route(calls.list_models)
    reload_models = Route(calls.reload_models)
    show_site = Route(calls.show_site)
    metrics = Route(calls.metrics)
    live = Route(calls.live)
    ready = Route(calls.ready)
