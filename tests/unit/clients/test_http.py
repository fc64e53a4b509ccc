"""The HTTP client's own parts, and the client against a scripted server on a real socket."""

from binascii import crc32
from collections.abc import Callable, Iterator

import gevent
import gevent.socket
import orjson
import pytest
from gevent.server import StreamServer

from bench.load.clients import Acknowledged, ConnectionLost, Delivered, LoginRefused, Message, Refused
from bench.load.clients.http import HttpConnection, Response, ResponseParser, lane_of
from bench.records import Endpoint, Person

ANN = Person(1, "u1", "p")


def http(status: int, body: object, extra: str = "") -> bytes:
    text = orjson.dumps(body)
    return f"HTTP/1.1 {status} X\r\n{extra}Content-Length: {len(text)}\r\n\r\n".encode() + text


def test_responses_may_come_byte_by_byte_and_several_at_once() -> None:
    data = http(200, {"a": 1}) + b"HTTP/1.1 100 Continue\r\n\r\n" + http(503, {})
    parser = ResponseParser()
    slowly = [response for byte in data for response in parser.feed(bytes([byte]))]
    assert slowly == ResponseParser().feed(data) == [Response(200, b'{"a":1}'), Response(503, b"{}")]
    assert not parser.last


def test_chunked_bodies_are_put_together() -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert ResponseParser().feed(data) == [Response(200, b"abc")]


def test_a_server_that_says_it_closes_is_believed() -> None:
    parser = ResponseParser()
    parser.feed(http(200, {}, "Connection: close\r\n"))
    assert parser.last


def test_what_is_not_http_ends_the_connection() -> None:
    with pytest.raises(ConnectionLost):
        ResponseParser().feed(b"SSH-2.0-OpenSSH\r\n\r\n")


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_a_conversation_keeps_to_one_lane(lanes: int) -> None:
    assert lane_of("u17", lanes) == crc32(b"u17") % 1024 % lanes


Answers = Callable[[str, dict[str, object]], bytes | None]


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], Endpoint]]:
    """`serve(answers)` starts a server; `answers(path, body)` gives the bytes, None to leave it open."""
    servers: list[StreamServer] = []

    def _serve(answers: Answers) -> Endpoint:
        def handle(client: gevent.socket.socket, _: object) -> None:
            file = client.makefile("rb")
            with client, file:
                while line := file.readline():
                    length = 0
                    while (header := file.readline()) not in {b"\r\n", b""}:
                        if header.lower().startswith(b"content-length:"):
                            length = int(header.split(b":")[1])
                    body = orjson.loads(file.read(length)) if length else {}
                    path = line.split()[1].decode()
                    answer = answers(path, body)
                    if answer is None and path == "/v1/login":
                        answer = http(200, {"token": "T", "lanes": 1})
                    if answer == b"":
                        return
                    if answer is not None:
                        client.sendall(answer)

        server = StreamServer(("127.0.0.1", 0), handle)
        server.start()
        servers.append(server)
        return Endpoint(*server.address)

    yield _serve
    for server in servers:
        server.stop(timeout=0)


@pytest.fixture
def connection() -> Iterator[HttpConnection]:
    made = HttpConnection(ANN)
    with gevent.Timeout(10):
        yield made
    made.close()
    gevent.sleep(0)


def test_acknowledgements_and_refusals_come_in_the_order_of_the_sends(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection
) -> None:
    def answers(path: str, body: dict[str, object]) -> bytes | None:
        if path != "/v1/messages":
            return None
        return http(404, {"error": "who?"}) if body["to"] == "x" else http(200, {})

    connection.open(serve(answers))
    for message_id, to in (("1", "a"), ("2", "x"), ("3", "a")):
        connection.send(Message(message_id, to, "b"))
    events = connection.events()
    assert [next(events) for _ in range(3)] == [Acknowledged("1"), Refused("2", "who?"), Acknowledged("3")]


def test_a_send_answered_503_is_sent_again_under_its_id(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection
) -> None:
    tries: list[object] = []

    def answers(path: str, body: dict[str, object]) -> bytes | None:
        if path != "/v1/messages":
            return None
        tries.append(body["id"])
        return http(503, {"error": "later"}) if len(tries) < 3 else http(200, {})

    connection.open(serve(answers))
    connection.send(Message("m", "a", "b"))
    assert next(connection.events()) == Acknowledged("m")
    assert tries == ["m", "m", "m"]


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", http(401, {"error": "bad token"})])
def test_a_lane_that_ends_or_a_token_that_is_refused_is_a_lost_connection(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection, answer: bytes
) -> None:
    connection.open(serve(lambda path, _: answer if path == "/v1/messages" else None))
    connection.send(Message("m", "a", "b"))
    with pytest.raises(ConnectionLost):
        next(connection.events())
    with pytest.raises(ConnectionLost):
        connection.send(Message("n", "a", "b"))


def test_the_place_in_the_inbox_is_carried_over_by_what_was_handed_on(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection
) -> None:
    inbox = [{"seq": seq, "id": f"m{seq}", "from": "u2", "body": "x"} for seq in (3, 5, 9)]
    asked: list[int] = []

    def answers(path: str, _: dict[str, object]) -> bytes | None:
        if not path.startswith("/v1/sync"):
            return None
        after = int(path.partition("after=")[2].partition("&")[0])
        asked.append(after)
        news = [one for one in inbox if int(str(one["seq"])) > after]
        return http(200, {"messages": news, "next": news[-1]["seq"]}) if news else None

    endpoint = serve(answers)
    connection.open(endpoint)
    events = connection.events()
    assert [next(events) for _ in range(2)] == [Delivered("m3", "u2", "x"), Delivered("m5", "u2", "x")]
    connection.open(endpoint)
    assert next(connection.events()) == Delivered("m9", "u2", "x")
    assert asked[0] == 0
    assert 5 in asked[1:]


def test_a_wrong_password_is_told_from_a_lost_connection(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection
) -> None:
    with pytest.raises(LoginRefused):
        connection.open(serve(lambda *_: http(401, {"error": "wrong name or password"})))
    with pytest.raises(ConnectionLost):
        connection.open(serve(lambda *_: http(500, {})))
    with pytest.raises(ConnectionLost):
        connection.open(serve(lambda *_: b""))


def test_sending_never_waits_for_a_server_that_does_not_read(connection: HttpConnection) -> None:
    listener = gevent.socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    accepted: list[gevent.socket.socket] = []

    def accept_and_log_in() -> None:
        poll, _ = listener.accept()
        poll.recv(65536)
        poll.sendall(http(200, {"token": "T", "lanes": 1}))
        accepted.append(poll)
        accepted.append(listener.accept()[0])

    server = gevent.spawn(accept_and_log_in)
    connection.open(Endpoint(*listener.getsockname()))
    for number in range(200):  # 20 MB: more than the sockets' buffers hold
        connection.send(Message(str(number), "a", "x" * 100_000))
    server.join()
    lane, received = accepted[1], 0
    ids: list[str] = []
    file = lane.makefile("rb")
    while len(ids) < 200:
        while (header := file.readline()) != b"\r\n":
            if header.startswith(b"Content-Length:"):
                received = int(header.split(b":")[1])
        ids.append(orjson.loads(file.read(received))["id"])
    assert ids == [str(number) for number in range(200)]
    connection.close()
    file.close()
    for one in (*accepted, listener):
        one.close()
