from collections.abc import Callable, Iterator

import gevent
import orjson
import pytest
from gevent import socket
from gevent.server import StreamServer
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from bench.load.clients import Acknowledged, ConnectionLost, Delivered, LoginRefused, Message, Refused
from bench.load.clients.websocket import WebSocketConnection
from bench.records import Endpoint, Person

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
                    message: dict[str, object] = orjson.loads(frame.data)
                    return message
            data = self.connected.recv(65_536)
            if not data:
                raise EOFError
            self.protocol.receive_data(data)
            for event in self.protocol.events_received():
                if isinstance(event, Request):
                    self.protocol.send_response(self.protocol.accept(event))
                elif isinstance(event, Frame):
                    self.frames.append(event)
            self.flush()

    def send(self, *messages: dict[str, object], split: bool = False) -> None:
        for message in messages:
            self.protocol.send_text(orjson.dumps(message))
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
Serve = Callable[[Script], Endpoint]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[StreamServer] = []

    def _serve(script: Script) -> Endpoint:
        def handle(connected: socket.socket, _: object) -> None:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            script(Peer(connected))
            connected.close()

        server = StreamServer(("127.0.0.1", 0), handle)
        server.start()
        servers.append(server)
        return Endpoint("127.0.0.1", int(server.address[1]))

    with gevent.Timeout(20):
        yield _serve
    for server in servers:
        server.stop()


def test_events_come_as_they_are_told_however_the_bytes_are_cut(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        assert peer.receive() == {"op": "login", "user": "u0", "after": 0, "password": "open sesame"}
        peer.send(
            {"op": "welcome", "token": "t"},
            {"op": "message", "seq": 1, "at": 5, "id": "x", "from": "u1", "body": "hé" * 100},
        )
        assert peer.receive() == {"op": "send", "id": "a", "to": "u1", "body": "né"}
        peer.send({"op": "ack", "id": "a"}, split=True)
        peer.send({"op": "refused", "id": "b", "reason": "no"}, {"op": "news"}, split=True)

    connection = WebSocketConnection(ALICE)
    connection.open(serve(script))
    connection.send(Message("a", "u1", "né"))
    events = connection.events()
    assert next(events) == Delivered("x", "u1", "hé" * 100)
    assert next(events) == Acknowledged("a")
    assert next(events) == Refused("b", "no")
    with pytest.raises(ConnectionLost):
        next(events)
    connection.close()
    connection.close()


def test_position_and_token_are_carried_to_the_next_life(serve: Serve) -> None:
    logins: list[dict[str, object]] = []

    def script(peer: Peer) -> None:
        logins.append(peer.receive())
        peer.send(
            {"op": "welcome", "token": "t"},
            {"op": "message", "seq": 9, "at": 5, "id": "x", "from": "u1", "body": ""},
            {"op": "message", "seq": 8, "at": 7, "id": "y", "from": "u1", "body": ""},
        )

    endpoint = serve(script)
    connection = WebSocketConnection(ALICE)
    connection.open(endpoint)
    events = connection.events()
    next(events)
    connection.open(endpoint)  # the second message was never handed out, so it is to come again
    events = connection.events()
    next(events)
    next(events)
    connection.open(endpoint)
    connection.close()
    assert [login["after"] for login in logins] == [0, 5, 7]
    assert [login.get("token") for login in logins] == [None, "t", "t"]


def test_a_refused_login_is_told_apart_from_a_refused_token(serve: Serve) -> None:
    answers = [{"op": "welcome", "token": "old"}, *[{"op": "refused", "reason": "not authorized"}] * 2]
    logins: list[dict[str, object]] = []

    def script(peer: Peer) -> None:
        logins.append(peer.receive())
        peer.send(dict(answers[len(logins) - 1]))

    endpoint = serve(script)
    connection = WebSocketConnection(ALICE)
    connection.open(endpoint)
    with pytest.raises(ConnectionLost, match="token"):
        connection.open(endpoint)
    with pytest.raises(LoginRefused, match="not authorized"):
        connection.open(endpoint)
    assert "token" not in logins[2]


def test_closing_from_another_greenlet_ends_the_events(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send({"op": "welcome", "token": "t"})
        with pytest.raises(EOFError):
            peer.receive()

    connection = WebSocketConnection(ALICE)
    connection.open(serve(script))
    gevent.spawn(connection.close)
    with pytest.raises(ConnectionLost):
        next(connection.events())
    with pytest.raises(ConnectionLost):
        connection.send(Message("a", "u1", "x"))


def test_sending_never_waits_for_a_server_that_does_not_read(serve: Serve) -> None:
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

    connection = WebSocketConnection(ALICE)
    connection.open(serve(script))
    for number in range(count):
        connection.send(Message(str(number), "u1", "x" * size))
    start_reading.set()
    assert next(connection.events()) == Acknowledged("last")
    assert received == [str(number) for number in range(count)]
    connection.close()


def test_pings_are_answered(serve: Serve) -> None:
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

    connection = WebSocketConnection(ALICE)
    connection.open(serve(script))
    assert next(connection.events()) == Acknowledged("pong seen")
    connection.close()


def test_nobody_listening_is_a_lost_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionLost):
        WebSocketConnection(ALICE).open(Endpoint("127.0.0.1", port))


def test_an_answer_that_is_no_websocket_is_a_lost_connection(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.connected.recv(65_536)
        peer.connected.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    with pytest.raises(ConnectionLost):
        WebSocketConnection(ALICE).open(serve(script))


def test_what_came_before_a_close_is_handed_out_first(serve: Serve) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.protocol.send_text(orjson.dumps({"op": "welcome", "token": "t"}))
        peer.protocol.send_text(orjson.dumps({"op": "ack", "id": "a"}))
        peer.protocol.send_close(4001, "replaced")
        peer.flush()

    connection = WebSocketConnection(ALICE)
    connection.open(serve(script))
    events = connection.events()
    assert next(events) == Acknowledged("a")
    with pytest.raises(ConnectionLost, match="replaced"):
        next(events)
    connection.close()
