"""The WebSocket client against real sockets and scripted answers."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import gevent.event
import orjson
import pytest
from gevent import socket
from gevent.server import StreamServer
from gevent.ssl import SSLContext
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol

from bench.load.clients import ConnectionLost, LoginRefused, Request
from bench.load.clients.websocket import WebSocketConnection
from bench.load.clients.websocket_frames import masked
from bench.records import Endpoint, Person
from tests.certificates import self_signed
from tests.unit.clients.ear import Ear, message

PATIENCE_S = 20
ALICE = Person(0, "u0", "open sesame")


class Peer:
    """The server's side of one connection: the test writes its lines."""

    def __init__(self, connected: socket.socket) -> None:
        self.connected = connected
        self.protocol = ServerProtocol()
        self.frames: list[Frame] = []

    def receive(self) -> dict[str, object]:
        """The next JSON frame the client sent."""
        while True:
            while self.frames:
                frame = self.frames.pop(0)
                if frame.opcode is Opcode.TEXT:
                    received: dict[str, object] = orjson.loads(frame.data)
                    return received
            data = self.connected.recv(65_536)
            if not data:
                raise EOFError
            self.protocol.receive_data(data)
            for event in self.protocol.events_received():
                if isinstance(event, Handshake):
                    self.protocol.send_response(self.protocol.accept(event))
                elif isinstance(event, Frame):
                    self.frames.append(event)
            self.flush()

    def send(self, *messages: dict[str, object], split: bool = False) -> None:
        for one in messages:
            self.protocol.send_text(orjson.dumps(one))
        self.flush(split=split)

    def flush(self, *, split: bool = False) -> None:
        data = b"".join(self.protocol.data_to_send())
        if split:
            for byte in data:
                self.connected.sendall(bytes([byte]))
                gevent.sleep(0)
        else:
            self.connected.sendall(data)


Script = Callable[[Peer], None]
Serve = Callable[..., Endpoint]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(script)` runs `script` on every connection; the test fails where a script does."""
    servers: list[StreamServer] = []
    errors: list[BaseException] = []

    def _serve(script: Script, tls: tuple[Path, Path] | None = None) -> Endpoint:
        def handle(connected: socket.socket, _: object) -> None:
            with connected:
                try:
                    script(Peer(connected))
                except (EOFError, OSError):
                    pass  # the client left
                except BaseException as error:
                    errors.append(error)
                    raise

        if tls is None:
            server = StreamServer(("127.0.0.1", 0), handle)
        else:
            context = SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            server = StreamServer(("127.0.0.1", 0), handle, ssl_context=context)
        server.start()
        servers.append(server)
        return Endpoint("127.0.0.1", int(server.address[1]), str(tls[0]) if tls else None)

    yield _serve
    for server in servers:
        server.stop(timeout=1)
    assert not errors


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def connection() -> Iterator[WebSocketConnection]:
    opened = WebSocketConnection(ALICE)
    with gevent.Timeout(PATIENCE_S):
        yield opened
    opened.close()


def test_what_is_told_is_heard_however_the_bytes_are_cut(
    serve: Serve, connection: WebSocketConnection, ear: Ear
) -> None:
    def script(peer: Peer) -> None:
        assert peer.receive() == {"op": "login", "user": "u0", "after": 0, "password": "open sesame"}
        peer.send(
            {"op": "welcome", "token": "t"},
            {"op": "message", "seq": 1, "at": 5, "id": "x", "from": "u1", "body": "hé" * 100},
        )
        assert peer.receive() == {"op": "send", "id": "a", "to": "u1", "body": "né"}
        peer.send({"op": "ack", "id": "a"}, split=True)
        peer.send({"op": "refused", "id": "b", "reason": "no"}, {"op": "news"}, split=True)
        peer.send({"op": "message", "seq": 2, "at": 6, "id": "y", "from": "u1", "body": "z" * 70_000})

    connection.open(serve(script), ear)
    connection.send(message("a", "u1", "né"))
    assert ear.hear(4) == [
        ("delivered", "x", "u1", "hé" * 100, ""),
        ("acknowledged", "a"),
        ("refused", "b", "no"),
        ("delivered", "y", "u1", "z" * 70_000, ""),
    ]
    assert ear.hear(1)[0][0] == "lost"
    connection.close()
    connection.close()


def test_each_operation_is_asked_for_in_its_own_words(
    serve: Serve, connection: WebSocketConnection, ear: Ear
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send({"op": "welcome", "token": "t"})
        assert peer.receive() == {"op": "group_send", "id": "a", "group": "g3", "body": "x"}
        peer.send({"op": "ack", "id": "a"})
        peer.send({"op": "message", "seq": 1, "at": 9, "id": "y", "from": "u1", "body": "z", "group": "g3"})
        assert peer.receive() == {"op": "sync", "id": "b", "after": 9}
        peer.send({"op": "presence", "from": "u1", "show": "dnd"}, {"op": "ack", "id": "b"})
        assert peer.receive() == {"op": "presence", "id": "c", "show": "away"}
        peer.send({"op": "ack", "id": "c"})
        peer.receive()

    connection.open(serve(script), ear)
    connection.send(Request("group_send", "a", "g3", "x", 0))
    assert ear.hear(2) == [("acknowledged", "a"), ("delivered", "y", "u1", "z", "g3")]
    connection.send(Request("sync", "b", "", "", 1))
    assert ear.hear(1) == [("acknowledged", "b")]
    connection.send(Request("presence", "c", "away", "", 2))
    assert ear.hear(1) == [("acknowledged", "c")]


def test_position_and_token_are_carried_to_the_next_life(
    serve: Serve, connection: WebSocketConnection, ear: Ear
) -> None:
    logins: list[dict[str, object]] = []

    def script(peer: Peer) -> None:
        logins.append(peer.receive())
        peer.send(
            {"op": "welcome", "token": "t"},
            {"op": "message", "seq": 9, "at": len(logins) * 5, "id": "x", "from": "u1", "body": ""},
            {"op": "message", "seq": 8, "at": len(logins) * 5 - 3, "id": "y", "from": "u1", "body": ""},
        )
        peer.receive()

    endpoint = serve(script)
    for _ in range(3):
        connection.open(endpoint, ear)
        assert [told[0] for told in ear.hear(2)] == ["delivered"] * 2
    assert [login["after"] for login in logins] == [0, 5, 10]
    assert [login.get("token") for login in logins] == [None, "t", "t"]


def test_a_refused_login_is_told_apart_from_a_refused_token(
    serve: Serve, connection: WebSocketConnection, ear: Ear
) -> None:
    answers = [{"op": "welcome", "token": "old"}, *[{"op": "refused", "reason": "not authorized"}] * 2]
    logins: list[dict[str, object]] = []

    def script(peer: Peer) -> None:
        logins.append(peer.receive())
        peer.send(dict(answers[len(logins) - 1]))

    endpoint = serve(script)
    connection.open(endpoint, ear)
    with pytest.raises(ConnectionLost, match="token"):
        connection.open(endpoint, ear)
    with pytest.raises(LoginRefused, match="not authorized"):
        connection.open(endpoint, ear)
    assert "token" not in logins[2]


def test_closing_says_goodbye_and_nothing_is_told_any_more(
    serve: Serve, connection: WebSocketConnection, ear: Ear
) -> None:
    codes: list[object] = []

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send({"op": "welcome", "token": "t"})
        with pytest.raises(EOFError):
            peer.receive()
        assert peer.protocol.close_rcvd is not None
        codes.append(peer.protocol.close_rcvd.code)

    connection.open(serve(script), ear)
    connection.close()
    while not codes:
        gevent.sleep(0.001)
    connection.send(message("a", "u1", "x"))
    assert codes == [1000]
    assert ear.told == []


def test_sending_never_waits_for_a_server_that_does_not_read(
    serve: Serve, connection: WebSocketConnection, ear: Ear
) -> None:
    count, size = 300, 100_000
    start_reading = gevent.event.Event()
    received: list[object] = []

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send({"op": "welcome", "token": "t"})
        start_reading.wait()
        for _ in range(count):
            received.append(peer.receive()["id"])
        peer.send({"op": "ack", "id": "last"})
        peer.receive()

    connection.open(serve(script), ear)
    for number in range(count):
        connection.send(message(str(number), "u1", "x" * size))
    start_reading.set()
    assert ear.hear(1) == [("acknowledged", "last")]
    assert received == [str(number) for number in range(count)]


def test_pings_are_answered(serve: Serve, connection: WebSocketConnection, ear: Ear) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send({"op": "welcome", "token": "t"})
        peer.protocol.send_ping(b"are you there")
        peer.flush()
        while not any(frame.opcode is Opcode.PONG for frame in peer.frames):
            data = peer.connected.recv(65_536)
            assert data
            peer.protocol.receive_data(data)
            peer.frames += [e for e in peer.protocol.events_received() if isinstance(e, Frame)]
        peer.send({"op": "ack", "id": "pong seen"})
        peer.receive()

    connection.open(serve(script), ear)
    assert ear.hear(1) == [("acknowledged", "pong seen")]


def test_every_frame_is_masked_by_a_key_of_its_own() -> None:
    frames = [masked(0x81, b"x" * size) for size in (0, 1, 125, 126, 65_535, 65_536, *[20] * 5_000)]
    keys = set()
    for frame in frames:
        start = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
        keys.add(frame[start : start + 4])
        assert frame[1] & 0x80
    assert len(keys) > 4_990


def test_nobody_listening_is_a_lost_connection(connection: WebSocketConnection, ear: Ear) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionLost):
        connection.open(Endpoint("127.0.0.1", port), ear)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: guessed\r\n\r\n",
        b"220 mail.example ESMTP\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_websocket_is_a_lost_connection(
    serve: Serve, connection: WebSocketConnection, ear: Ear, answer: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.connected.recv(65_536)
        peer.connected.sendall(answer)
        peer.connected.recv(65_536)

    with pytest.raises(ConnectionLost, match="handshake"):
        connection.open(serve(script), ear)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"\x81\x84abcdefgh", "masked"),
        (b"\x82\x01x", "kind 0x82"),
        (b"\x01\x01x", "kind 0x1"),
        (b"\x81\x01x", "no JSON"),
        (b"\x81\x02[]", "sent"),
        (b'\x81\x0c{"op":"ack"}', "sent"),
        (b"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", "bytes"),
    ],
)
def test_what_no_such_server_may_send_ends_the_connection(
    serve: Serve, connection: WebSocketConnection, ear: Ear, frame: bytes, reason: str
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send({"op": "welcome", "token": "t"})
        peer.receive()
        peer.connected.sendall(frame)
        peer.receive()

    connection.open(serve(script), ear)
    connection.send(message("a", "u1", "x"))
    ((kind, told),) = ear.hear(1)
    assert kind == "lost"
    assert reason in told


def test_what_came_before_a_close_is_told_first(
    serve: Serve, connection: WebSocketConnection, ear: Ear
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send({"op": "welcome", "token": "t"})
        peer.receive()
        peer.protocol.send_text(orjson.dumps({"op": "ack", "id": "a"}))
        peer.protocol.send_close(4001, "replaced")
        peer.flush()
        peer.receive()

    connection.open(serve(script), ear)
    connection.send(message("a", "u1", "x"))
    assert ear.hear(2) == [("acknowledged", "a"), ("lost", "the server ended it: 4001 replaced")]


def test_a_body_that_json_cannot_hold_is_a_defect(
    serve: Serve, connection: WebSocketConnection, ear: Ear
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send({"op": "welcome", "token": "t"})
        peer.receive()

    connection.open(serve(script), ear)
    connection.send(message("a", "u1", "\ud800"))
    assert ear.hear(1)[0][0] == "failed"


def test_tls_is_spoken_with_the_server_that_the_certificate_names_and_no_other(
    serve: Serve, connection: WebSocketConnection, ear: Ear, tmp_path: Path
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send({"op": "welcome", "token": "t"})
        asked = peer.receive()
        peer.send(
            {"op": "ack", "id": asked["id"]},
            {"op": "message", "at": 1, "id": "x", "from": "u1", "body": asked["body"]},
        )
        peer.receive()

    endpoint = serve(script, self_signed(tmp_path, "127.0.0.1"))
    connection.open(endpoint, ear)
    body = "x" * 300_000  # many records, and more than a socket holds
    connection.send(message("a", "u1", body))
    assert ear.hear(2) == [("acknowledged", "a"), ("delivered", "x", "u1", body, "")]
    connection.close()
    other, _ = self_signed(tmp_path / "other", "127.0.0.2")
    with pytest.raises(LoginRefused, match="certificate"):
        connection.open(Endpoint(endpoint.host, endpoint.port, str(other)), ear)
