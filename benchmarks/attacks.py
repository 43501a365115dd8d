"""Hostile clients: each opens connections to a service and tells how they ended."""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine, Iterable
from itertools import chain
from typing import Any

Attack = Callable[[int, float], Coroutine[Any, Any, list[str]]]
"""Attacks a port for some seconds and returns the outcome of each connection: a status, "closed",
"refused", or "open" if the service still holds it."""

MIB = 2**20
HOST = b"Host: localhost\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=x\r\n"
FILE = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'


def head(request: bytes, *lines: bytes) -> bytes:
    """Returns a request's head."""
    return request + b" HTTP/1.1\r\n" + HOST + b"".join(lines) + b"\r\n"


def whole(request: bytes, content_type: bytes, body: bytes) -> bytes:
    """Returns a request with a body."""
    return head(request, content_type, b"Content-Length: %d\r\n" % len(body)) + body


async def converse(port: int, pieces: Iterable[bytes], seconds: float, pause_s: float = 0.0) -> str:
    """Sends pieces on one connection until the service answers, closes it or the time is over."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return "refused"
    sending = asyncio.create_task(_send(writer, pieces, pause_s))
    try:
        async with asyncio.timeout(seconds):
            answer = await reader.read(12)
        return answer[9:12].decode() or "closed"
    except TimeoutError:
        return "open"
    except ConnectionError:
        return "closed"
    finally:
        sending.cancel()
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, pieces: Iterable[bytes], pause_s: float) -> None:
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
    except ConnectionError:
        pass  # the answer tells


def repeat(request: bytes, clients: int = 1) -> Attack:
    """Returns an attack that sends one request again and again until the time is over."""

    async def attack(port: int, seconds: float) -> list[str]:
        end = asyncio.get_running_loop().time() + seconds

        async def one() -> list[str]:
            outcomes: list[str] = []
            while (left := end - asyncio.get_running_loop().time()) > 0:
                outcomes.append(await converse(port, [request], left))
            return outcomes

        return [*chain(*await asyncio.gather(*(one() for _ in range(clients))))]

    return attack


def hold(pieces: Callable[[], Iterable[bytes]], clients: int, pause_s: float = 0.1) -> Attack:
    """Returns an attack that holds many connections and sends a piece on each now and then."""

    async def attack(port: int, seconds: float) -> list[str]:
        each = (converse(port, pieces(), seconds, pause_s) for _ in range(clients))
        return list(await asyncio.gather(*each))

    return attack


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    """Yields single bytes."""
    return (data[place : place + 1] for place in range(len(data)))


async def _send_on(port: int, seconds: float) -> list[str]:
    """Sends a body over the limit, and goes on after the answer; tells how much was taken."""
    request = head(b"POST /v1/identify", FORM, b"Content-Length: 99999999999\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    status = (await reader.read(MIB))[9:12].decode()
    sent = 0
    try:
        async with asyncio.timeout(seconds):
            while sent < 2**31:
                writer.write(b"\0" * MIB)
                await writer.drain()
                sent += MIB
    except (ConnectionError, TimeoutError) as error:
        status += " closed" if isinstance(error, ConnectionError) else " open"
    finally:
        writer.transport.abort()
    return [f"{status} after {'more' if sent > 8 * MIB else 'less'} than 8 MiB"]


def _read_nothing(clients: int) -> Attack:
    """Returns an attack that asks for large answers and does not read them."""
    request = head(b"GET /static-offline-docs/swagger-ui-bundle.js")

    async def one(port: int, seconds: float) -> str:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            loop = asyncio.get_running_loop()
            try:
                await loop.sock_connect(connection, ("127.0.0.1", port))
                await loop.sock_sendall(connection, request)
                await asyncio.sleep(seconds)
                await loop.sock_sendall(connection, request)
                await asyncio.sleep(0.1)
                await loop.sock_sendall(connection, request)
            except ConnectionError:
                return "closed"
            return "open"

    async def attack(port: int, seconds: float) -> list[str]:
        return list(await asyncio.gather(*(one(port, seconds) for _ in range(clients))))

    return attack


async def _leave(port: int, seconds: float) -> list[str]:
    """Sends whole uploads and leaves before the answer."""
    body = FILE + b"\x89PNG\r\n\x1a\n" + b"\0" * 10_000 + b"\r\n--x--\r\n"
    request = whole(b"POST /v1/identify", FORM, body)
    end = asyncio.get_running_loop().time() + seconds
    left = 0
    while asyncio.get_running_loop().time() < end:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        await writer.drain()
        writer.transport.abort()
        left += 1
    return ["left"] * left


JSON = b"Content-Type: application/json\r\n"
KEYS = json.dumps({f"k{number}": 0 for number in range(300_000)}).encode()
FIELDS = b"".join(
    b'--x\r\nContent-Disposition: form-data; name="k%d"\r\n\r\n0\r\n' % number
    for number in range(100_000)
)
GARBAGE = [b"\0" * 999, b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0", b"G E T /\r\n" * 99]
UNFINISHED = head(b"POST /v1/identify", FORM, b"Content-Length: %d\r\n" % (32 * MIB - 1))

ATTACKS: dict[str, Attack] = {
    "PATCH with 300,000 keys": repeat(whole(b"PATCH /v1/subjects/p001", JSON, KEYS)),
    "form of 100,000 fields": repeat(whole(b"POST /v1/identify", FORM, FIELDS + b"--x--\r\n")),
    "form of 100,000 files": repeat(
        whole(b"POST /v1/identify", FORM, (FILE + b"\r\n") * 100_000 + b"--x--\r\n")
    ),
    "query of 2,000 names": repeat(
        head(b"GET /v1/subjects?" + b"&".join(b"q%d=1" % number for number in range(2000))), 4
    ),
    "300 idle connections": hold(list, 300),
    "300 heads byte by byte": hold(lambda: byte_by_byte(head(b"GET /" + b"a" * 9999)), 300),
    "300 bodies byte by byte": hold(lambda: [UNFINISHED, *byte_by_byte(FILE * 99)], 300),
    "body in chunks of 1 byte": repeat(
        head(b"POST /v1/identify", FORM, b"Transfer-Encoding: chunked\r\n")
        + b"1\r\n-\r\n" * 4_000_000,
        4,
    ),
    "40 uploads of 31 MiB, unfinished": hold(
        lambda: [UNFINISHED, *([FILE + b"\0" * (MIB - 1000) + b"\r\n"] * 31)], 40, 0.0
    ),
    "sends on after 413": _send_on,
    "200 answers that nobody reads": _read_nothing(200),
    "uploads whose clients leave": _leave,
    "garbage": repeat(GARBAGE[0]),
}
