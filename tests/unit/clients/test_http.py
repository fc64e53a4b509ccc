"""The HTTP client's own parts, and the client against a scripted server on a real socket."""

import ssl
from binascii import crc32
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import gevent.socket
import gevent.ssl
import orjson
import pytest
from gevent.server import StreamServer

from bench.load.clients import ConnectionLost, LoginRefused, Request
from bench.load.clients import http as http_client
from bench.load.clients.http import HttpConnection, Response, ResponseParser, lane_of
from bench.records import Endpoint, Person
from tests.certificates import self_signed
from tests.unit.clients.ear import Ear, message

ANN = Person(1, "u1", "p")


def http(status: int, body: object, extra: str = "") -> bytes:
    text = orjson.dumps(body)
    return f"HTTP/1.1 {status} X\r\n{extra}Content-Length: {len(text)}\r\n\r\n".encode() + text


def parsed(*pieces: bytes) -> list[Response]:
    responses: list[Response] = []
    parser = ResponseParser(responses.append)
    for piece in pieces:
        parser.feed(piece)
    return responses


def test_responses_may_come_byte_by_byte_and_several_at_once() -> None:
    data = http(200, {"a": 1}) + b"HTTP/1.1 100 Continue\r\n\r\n" + http(503, {})
    slowly = parsed(*(bytes([byte]) for byte in data))
    assert slowly == parsed(data) == [Response(200, b'{"a":1}'), Response(503, b"{}")]


def test_chunked_bodies_are_put_together() -> None:
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert parsed(data) == [Response(200, b"abc")]


def test_a_server_that_says_it_closes_is_believed_and_its_answer_counts() -> None:
    responses: list[Response] = []
    with pytest.raises(ConnectionLost):
        ResponseParser(responses.append).feed(http(200, {}, "Connection: close\r\n"))
    assert responses == [Response(200, b"{}")]


def test_what_is_not_http_ends_the_connection() -> None:
    with pytest.raises(ConnectionLost):
        parsed(b"SSH-2.0-OpenSSH\r\n\r\n")


def test_a_defect_of_who_takes_the_responses_is_no_fault_of_the_server() -> None:
    def broken(_: Response) -> None:
        raise KeyError("a defect")

    with pytest.raises(KeyError):
        ResponseParser(broken).feed(http(200, {}))


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


@pytest.fixture
def ear() -> Ear:
    return Ear()


def test_acknowledgements_and_refusals_come_in_the_order_of_the_sends(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection, ear: Ear
) -> None:
    def answers(path: str, body: dict[str, object]) -> bytes | None:
        if path != "/v1/messages":
            return None
        return http(404, {"error": "who?"}) if body["to"] == "x" else http(200, {})

    connection.open(serve(answers), ear)
    for message_id, to in (("1", "a"), ("2", "x"), ("3", "a")):
        connection.send(message(message_id, to, "b"))
    assert ear.hear(3) == [("acknowledged", "1"), ("refused", "2", "who?"), ("acknowledged", "3")]


def test_each_operation_is_asked_in_its_own_way(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection, ear: Ear
) -> None:
    asked: list[tuple[str, dict[str, object]]] = []

    def answers(path: str, body: dict[str, object]) -> bytes | None:
        if path == "/v1/login" or "wait=25" in path:
            return None
        asked.append((path, body))
        return http(200, {"messages": [], "next": 0} if "sync" in path else {})

    connection.open(serve(answers), ear)
    for request in (
        Request("group_send", "m1", "g3", "hello", 0),
        Request("sync", "sync-1", "", "", 1),
        Request("presence", "presence-2", "away", "", 2),
    ):
        connection.send(request)
        assert ear.hear(1) == [("acknowledged", request.request_id)]
    assert asked == [
        ("/v1/groups/g3/messages", {"id": "m1", "body": "hello"}),
        ("/v1/sync?after=0&wait=0", {}),
        ("/v1/presence", {"show": "away"}),
    ]


def test_a_send_answered_503_is_sent_again_under_its_id(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection, ear: Ear
) -> None:
    tries: list[object] = []

    def answers(path: str, body: dict[str, object]) -> bytes | None:
        if path != "/v1/messages":
            return None
        tries.append(body["id"])
        return http(503, {"error": "later"}) if len(tries) < 3 else http(200, {})

    connection.open(serve(answers), ear)
    connection.send(message("m", "a", "b"))
    assert ear.hear(1) == [("acknowledged", "m")]
    assert tries == ["m", "m", "m"]


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n\r\n", http(401, {"error": "bad token"})])
def test_a_lane_that_ends_or_a_token_that_is_refused_is_a_lost_connection(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection, ear: Ear, answer: bytes
) -> None:
    connection.open(serve(lambda path, _: answer if path == "/v1/messages" else None), ear)
    connection.send(message("m", "a", "b"))
    (told,) = ear.hear(1)
    assert told[0] == "lost"
    connection.send(message("n", "a", "b"))
    gevent.sleep(0.05)
    assert ear.told == []


def test_the_place_in_the_inbox_is_carried_over_and_nothing_is_told_twice(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection, ear: Ear
) -> None:
    inbox = [{"seq": seq, "id": f"m{seq}", "from": "u2", "body": "x"} for seq in (3, 5)]
    asked: list[int] = []

    def answers(path: str, _: dict[str, object]) -> bytes | None:
        if not path.startswith("/v1/sync"):
            return None
        after = int(path.partition("after=")[2].partition("&")[0])
        asked.append(after)
        if path.endswith("wait=0"):  # an answer that overlaps with the poll's
            return http(200, {"messages": inbox, "next": inbox[-1]["seq"]})
        news = [one for one in inbox if int(str(one["seq"])) > after]
        return http(200, {"messages": news, "next": news[-1]["seq"]}) if news else None

    endpoint = serve(answers)
    connection.open(endpoint, ear)
    assert ear.hear(2) == [("delivered", f"m{seq}", "u2", "x", "") for seq in (3, 5)]
    inbox.append({"seq": 9, "id": "m9", "from": "u2", "body": "x", "group": "g1"})
    connection.send(Request("sync", "sync-0", "", "", 0))
    assert ear.hear(2) == [("delivered", "m9", "u2", "x", "g1"), ("acknowledged", "sync-0")]
    connection.open(endpoint, ear)
    gevent.sleep(0.05)
    assert ear.told == []
    assert asked[0] == 0
    assert asked[-1] == 9


def test_a_wrong_password_is_told_from_a_lost_connection(
    serve: Callable[[Answers], Endpoint], connection: HttpConnection, ear: Ear
) -> None:
    with pytest.raises(LoginRefused):
        connection.open(serve(lambda *_: http(401, {"error": "wrong name or password"})), ear)
    with pytest.raises(ConnectionLost):
        connection.open(serve(lambda *_: http(500, {})), ear)
    with pytest.raises(ConnectionLost):
        connection.open(serve(lambda *_: b""), ear)


def test_a_poll_that_is_never_answered_is_a_lost_connection(
    serve: Callable[[Answers], Endpoint],
    connection: HttpConnection,
    ear: Ear,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_client, "POLL_WAIT_S", 0)
    monkeypatch.setattr(http_client, "POLL_GRACE_S", 0.05)
    connection.open(serve(lambda *_: None), ear)
    assert ear.hear(1)[0][0] == "lost"


def test_under_tls_only_a_server_with_the_right_certificate_is_spoken_to(
    tmp_path: Path, connection: HttpConnection, ear: Ear
) -> None:
    (own, key), (foreign, _) = self_signed(tmp_path / "own"), self_signed(tmp_path / "foreign")

    def handle(client: gevent.socket.socket, _: object) -> None:
        with client:
            while data := client.recv(65536):
                answer = {"token": "T", "lanes": 1} if b"/v1/login" in data else {}
                if b"/v1/sync" not in data:
                    client.sendall(http(200, answer))

    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    server = StreamServer(("127.0.0.1", 0), handle, ssl_context=context)
    server.start()
    port = server.server_port
    assert port is not None
    try:
        with pytest.raises(LoginRefused):
            connection.open(Endpoint("127.0.0.1", port, str(foreign)), ear)
        connection.open(Endpoint("127.0.0.1", port, str(own)), ear)
        connection.send(message("m", "a", "b"))
        assert ear.hear(1) == [("acknowledged", "m")]
    finally:
        connection.close()
        server.stop(timeout=0)


def test_sending_never_waits_for_a_server_that_does_not_read(connection: HttpConnection, ear: Ear) -> None:
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
    connection.open(Endpoint(*listener.getsockname()), ear)
    for number in range(200):  # 20 MB: more than the sockets' buffers hold
        connection.send(message(str(number), "a", "x" * 100_000))
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
