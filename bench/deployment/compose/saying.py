"""What the engine saw and did, as a node's log says it: it plays the supervisor, so it speaks like one.

One JSON object a line: `t_ns` (CLOCK_MONOTONIC), `node` (`engine`), `event`, `target`. `detected` is a
container that died and that the engine starts again by itself, `restarted` its next start, `stopped` one
that ended because the engine was asked for it. The engine keeps its last 256 events, of all containers,
and dates them by the wall clock; a clock that is set in between moves them.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from docker import DockerClient

from bench.deployment.compose.engine import SERVICE_LABEL

NODE = "engine"


def lines(client: DockerClient, containers: Sequence[str], since_s: float) -> list[str]:
    """The log of these containers (ids) since `since_s` (wall clock), oldest first; blocks on the engine."""
    until_s = time.time()
    ahead_ns = time.time_ns() - time.monotonic_ns()
    filters = {"type": "container", "container": list(containers), "event": ["kill", "die", "start"]}
    told = client.events(since=int(since_s), until=int(until_s) + 1, filters=filters, decode=True)
    return [json.dumps(line) for line in as_log(told, ahead_ns)]


def as_log(events: Any, ahead_ns: int) -> Iterator[Mapping[str, Any]]:
    """The lines of these events; `ahead_ns` is the wall clock's lead over the monotonic one."""
    asked: set[str] = set()
    dead: set[str] = set()
    deaths: Counter[str] = Counter()
    for event in events:
        attributes = event["Actor"]["Attributes"]
        target = attributes[SERVICE_LABEL]
        said = {"t_ns": event["timeNano"] - ahead_ns, "node": NODE, "target": target}
        match event["Action"]:
            case "kill":
                asked.add(target)
            case "die" if target in asked:
                asked.discard(target)
                yield {**said, "event": "stopped", "exit_code": int(attributes["exitCode"])}
            case "die":
                dead.add(target)
                deaths[target] += 1
                yield {**said, "event": "detected", "exit_code": int(attributes["exitCode"])}
            case "start" if target in dead:
                dead.discard(target)
                yield {**said, "event": "restarted", "attempt": deaths[target]}
