"""Containers of harnesses that were killed, where their lifeline was killed too or the engine was away."""

from collections.abc import Callable

from docker import DockerClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from bench.deployment.compose.engine import PROJECT_LABEL, connect, remove
from bench.deployment.compose.project import NAME, harness_lives
from bench.errors import MachineError


def clear(say: Callable[[str], None]) -> None:
    """Remove the projects of harnesses that live no more, and say which; silent where no engine answers.

    A project that a lifeline is removing at this moment goes the same way.
    """
    try:
        client = connect()
    except MachineError:
        return
    try:
        for name in sorted(_projects(client)):
            if not harness_lives(name):
                count = remove(client, name)
                say(f"removed {count} containers, networks and volumes that a killed run left ({name})")
    except (DockerException, RequestException) as error:
        say(f"what a killed run left in the Docker engine could not be removed: {error}")
    finally:
        client.close()


def _projects(client: DockerClient) -> set[str]:
    """The names of all projects of ours of which anything is left."""
    filters = {"label": PROJECT_LABEL}
    kept = [
        *(one.labels for one in client.containers.list(all=True, filters=filters, ignore_removed=True)),
        *(one.attrs["Labels"] for one in client.networks.list(filters=filters)),
        *(one.attrs["Labels"] for one in client.volumes.list(filters=filters)),
    ]
    return {labels[PROJECT_LABEL] for labels in kept if NAME.fullmatch(labels[PROJECT_LABEL])}
