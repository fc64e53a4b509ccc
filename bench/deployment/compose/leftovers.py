"""Containers of harnesses that were killed, where their lifeline was killed too or the engine was away."""

import time
from collections.abc import Callable

from docker import DockerClient
from docker.errors import APIError, DockerException
from requests.exceptions import RequestException

from bench.deployment.compose.engine import PROJECT_LABEL, connect, remove
from bench.deployment.compose.project import NAME, harness_lives
from bench.errors import MachineError

ATTEMPTS = 5
AGAIN_S = 1.0


def clear(say: Callable[[str], None]) -> None:
    """Remove the projects of harnesses that live no more, and say which; silent where no engine answers."""
    try:
        client = connect()
    except MachineError:
        return
    try:
        for name in sorted(_projects(client)):
            if not harness_lives(name):
                count = _removed(client, name)
                say(f"removed {count} containers, networks and volumes that a killed run left ({name})")
    except (DockerException, RequestException) as error:
        say(f"what a killed run left in the Docker engine could not be removed: {error}")
    finally:
        client.close()


def _removed(client: DockerClient, project: str) -> int:
    """How many there were; tried again where its lifeline is removing the same at this moment."""
    for _ in range(ATTEMPTS - 1):
        try:
            return remove(client, project)
        except APIError:  # such as a network from which a container is just being taken
            time.sleep(AGAIN_S)
    return remove(client, project)


def _projects(client: DockerClient) -> set[str]:
    """The names of all projects of ours of which anything is left."""
    filters = {"label": PROJECT_LABEL}
    kept = [
        *(one.labels for one in client.containers.list(all=True, filters=filters, ignore_removed=True)),
        *(one.attrs["Labels"] for one in client.networks.list(filters=filters)),
        *(one.attrs["Labels"] for one in client.volumes.list(filters=filters)),
    ]
    return {labels[PROJECT_LABEL] for labels in kept if NAME.fullmatch(labels[PROJECT_LABEL])}
