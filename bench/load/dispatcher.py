"""Open loop: sends what the schedule says, when it says so, whatever the system under test does.

When late, it sends at once; it never skips a slot and never moves the schedule. Beyond the bound on
messages in flight an arrival is shed, and counted.
"""

import time
from collections.abc import Callable, Iterator, Sequence

import gevent
import numpy as np
import numpy.typing as npt

from bench.load.clients import Message
from bench.load.clients.client import Client
from bench.load.ledger import Ledger
from bench.load.population import Body, Draw
from bench.load.recorder import Recorder

BURST = 64
"""How many overdue messages go out before the listeners get a turn."""


def dispatch(
    schedule: Iterator[npt.NDArray[np.int64]],
    draws: Iterator[Draw],
    bodies: Sequence[Body],
    clients: Sequence[Client],
    recorder: Recorder,
    ledger: Ledger,
    *,
    max_in_flight: int,
    clock_ns: Callable[[], int] = time.monotonic_ns,
    sleep: Callable[[float], None] = gevent.sleep,
) -> None:
    """Send everything in `schedule` (ns from the recorder's origin, increasing); return after the last."""
    origin_ns = recorder.origin_ns
    in_a_row = 0
    for chunk in schedule:
        for offset_ns in chunk.tolist():
            intended_ns = origin_ns + offset_ns
            wait_ns = intended_ns - clock_ns()
            if wait_ns > 0:
                sleep(wait_ns / 1e9)
                in_a_row = 0
            elif in_a_row >= BURST:
                sleep(0)
                in_a_row = 0
            in_a_row += 1
            if recorder.in_flight >= max_in_flight:
                recorder.shed(intended_ns)
                continue
            draw = next(draws)
            body = bodies[draw.body]
            message_id = ledger.attempt(
                recorder.phase(offset_ns / 1e9), draw.sender, draw.addressee, offset_ns // 1000, body.crc
            )
            recorder.sent(message_id.sequence, intended_ns, clock_ns())
            clients[draw.sender].send(Message(str(message_id), f"u{draw.addressee}", body.text))
