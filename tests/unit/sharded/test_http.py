"""The api nodes' HTTP server over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from services.sharded.http import LARGEST_BODY_BYTES, MOST_IN_FLIGHT, Exchange, HttpServer

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def serving(handler: Callable[[Exchange], None]) -> AsyncIterator[Streams]:
    server = HttpServer(handler)
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()
        server.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length")
    )
    return int(head.split()[1]), await reader.readexactly(length)


def echo(exchange: Exchange) -> None:
    exchange.answer(200, exchange.method + exchange.target + exchange.token + exchange.body)


async def test_a_request_may_come_byte_by_byte() -> None:
    async with serving(echo) as (reader, writer):
        for byte in b"POST /a?b=c HTTP/1.1\r\nauthorization: bearer T\r\nContent-Length: 2\r\n\r\nhi":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert await answer(reader) == (200, b"POST/a?b=cThi")


async def test_pipelined_requests_are_worked_on_together_and_answered_in_order() -> None:
    held: list[Exchange] = []
    async with serving(held.append) as (reader, writer):
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % i for i in range(3)))
        while len(held) < 3:
            await asyncio.sleep(0)
        for exchange in reversed(held):
            exchange.answer(200, exchange.target)
        assert [await answer(reader) for _ in range(3)] == [(200, b"/0"), (200, b"/1"), (200, b"/2")]


async def test_a_flood_of_pipelined_requests_is_answered_whole() -> None:
    count = 10 * MOST_IN_FLIGHT

    def later(exchange: Exchange) -> None:
        asyncio.get_running_loop().call_soon(exchange.answer, 200, exchange.target)

    async with serving(later) as (reader, writer):
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % i for i in range(count)))
        assert [(await answer(reader))[1] for _ in range(count)] == [b"/%d" % i for i in range(count)]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (LARGEST_BODY_BYTES + 1)
            + b"x" * (LARGEST_BODY_BYTES + 1),
            413,
        ),
    ],
)
async def test_what_cannot_be_served_is_refused_and_the_connection_ended(
    request_bytes: bytes, status: int
) -> None:
    async with serving(lambda exchange: exchange.answer(200, b"") if exchange.body else None) as (
        reader,
        writer,
    ):
        writer.write(request_bytes)
        head = await reader.readuntil(b"\r\n\r\n")
        assert int(head.split()[1]) == status
        assert b"Connection: close" in head


async def test_nobody_is_upgraded_to_another_protocol() -> None:
    async with serving(echo) as (reader, writer):
        writer.write(b"GET /x HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
        assert await answer(reader) == (200, b"GET/x")
        assert (await answer(reader))[0] == 400
        assert await reader.read() == b""


async def test_a_connection_is_ended_after_the_answer_when_the_client_asks_for_it() -> None:
    async with serving(echo) as (reader, writer):
        writer.write(b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert await answer(reader) == (200, b"GET/x")
        assert await reader.read() == b""


async def test_a_handler_that_breaks_is_a_500_and_the_connection_lives() -> None:
    broken: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: broken.append(context["exception"]))

    def handler(exchange: Exchange) -> None:
        if exchange.target == b"/broken":
            raise LookupError
        echo(exchange)

    async with serving(handler) as (reader, writer):
        writer.write(b"GET /broken HTTP/1.1\r\n\r\nGET /fine HTTP/1.1\r\n\r\n")
        assert (await answer(reader))[0] == 500
        assert await answer(reader) == (200, b"GET/fine")
    assert isinstance(broken[0], LookupError)


async def test_who_waits_hears_that_the_connection_ended() -> None:
    gone = asyncio.Event()

    def handler(exchange: Exchange) -> None:
        exchange.on_gone = gone.set

    async with serving(handler) as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await writer.drain()
        writer.close()
        await gone.wait()
