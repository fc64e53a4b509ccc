"""From one api node to another: "these people have messages".

One connection to each peer, `POST /v1/hints` with `{"people": [row numbers]}`, written without waiting
for the answers. Words of one moment go together. A peer to whom the connection was lost hears
`{"people": null}` first when it is back: look everybody up, words were lost.
"""

import asyncio
import contextlib
from collections.abc import Iterable

import orjson

from services.sharded.routing import Address

RETRY_S = 0.2
CONNECT_TIMEOUT_S = 1.0
MOST_UNSENT_BYTES = 1 << 20


class Peer:
    """One other api node. Run `run`; `word` never waits."""

    def __init__(self, address: Address, token: bytes) -> None:
        self._address = address
        self._head = (
            b"POST /v1/hints HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer %b\r\nContent-Length: "
            % (f"{address.host}:{address.port}".encode(), token)
        )
        self._people: set[int] = set()
        self._some = asyncio.Event()

    def word(self, people: Iterable[int]) -> None:
        """There is something new for `people`."""
        self._people.update(people)
        self._some.set()

    async def run(self) -> None:
        """Keep connected and pass words on until cancelled."""
        while True:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await self._serve()
            await asyncio.sleep(RETRY_S)

    async def _serve(self) -> None:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(self._address.host, self._address.port)
        try:
            draining = asyncio.create_task(_drain(reader))
            try:
                self._people.clear()
                writer.write(self._request(None))
                while not draining.done():
                    waiting = asyncio.create_task(self._some.wait())
                    await asyncio.wait({waiting, draining}, return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
                    self._some.clear()
                    if self._people:
                        writer.write(self._request(list(self._people)))
                        self._people.clear()
                    if writer.transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
                        return  # it hears nothing; all it missed is looked up when it is back
            finally:
                draining.cancel()
                await asyncio.gather(draining, return_exceptions=True)
        finally:
            writer.transport.abort()

    def _request(self, people: list[int] | None) -> bytes:
        body = orjson.dumps({"people": people})
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass
