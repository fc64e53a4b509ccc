"""The plain HTTP client against a scripted server on a real socket."""

from collections.abc import Callable, Iterator

import gevent
import gevent.socket
import pytest
from gevent.server import StreamServer

from bench.load.clients import Request
from bench.load.clients.request import RequestConnection
from bench.records import Endpoint, Person
from tests.unit.clients.ear import Ear

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SORRY = b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"
Serve = Callable[[bytes], Endpoint]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(answers)` starts a server that gives each request the next of `answers`, parted by |."""
    servers: list[StreamServer] = []

    def _serve(answers: bytes) -> Endpoint:
        def handle(client: gevent.socket.socket, _: object) -> None:
            with client:
                for answer in answers.split(b"|"):
                    if not client.recv(65536):
                        return
                    client.sendall(answer)
                client.recv(65536)

        server = StreamServer(("127.0.0.1", 0), handle)
        server.start()
        servers.append(server)
        assert server.server_port is not None
        return Endpoint("127.0.0.1", server.server_port)

    yield _serve
    for server in servers:
        server.stop(timeout=0)


@pytest.fixture
def connection() -> Iterator[RequestConnection]:
    made = RequestConnection(Person(0, "u0", ""))
    with gevent.Timeout(20):
        yield made
    made.close()


def get(request_id: str) -> Request:
    return Request("send", request_id, "u1", "", 0)


def test_requests_wait_for_the_one_under_way_and_a_status_is_an_answer(
    serve: Serve, connection: RequestConnection
) -> None:
    ear = Ear()
    connection.open(serve(OK + b"|" + SORRY + b"|" + OK), ear)
    for request_id in ("a", "b", "c"):
        connection.send(get(request_id))
    assert ear.hear(3) == [("acknowledged", "a"), ("refused", "b", "503"), ("acknowledged", "c")]


@pytest.mark.parametrize("answer", [b"SSH-2.0\r\n\r\n", OK + OK])
def test_what_is_not_http_or_was_not_asked_for_is_a_lost_connection(
    serve: Serve, connection: RequestConnection, answer: bytes
) -> None:
    ear = Ear()
    connection.open(serve(answer), ear)
    connection.send(get("a"))
    while (told := ear.hear(1)[0]) == ("acknowledged", "a"):
        pass
    assert told[0] == "lost"


def test_a_defect_of_the_listener_is_no_fault_of_the_server(
    serve: Serve, connection: RequestConnection
) -> None:
    class Broken(Ear):
        def acknowledged(self, request_id: str) -> None:
            raise KeyError("a defect")

    ear = Broken()
    connection.open(serve(OK), ear)
    connection.send(get("a"))
    assert ear.hear(1) == [("failed", "'a defect'")]
