"""The images of a generation's containers: ours built from the sources as they are now, others fetched."""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docker import DockerClient
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException
from ruamel.yaml import YAML

from bench.deployment.compose.engine import compose_program, engine
from bench.deployment.compose.project import FILE, Say, with_progress
from bench.errors import DeploymentError, MachineError

BUILD_TIMEOUT_S = 1800.0


async def build(generations: Sequence[str], log: Path, say: Say) -> None:
    """See to it that the engine has every image, ours as the sources are now; raises MachineError.

    `log` is written anew. A build of what is there already costs a second; an image that it replaces is
    not kept.
    """
    await asyncio.to_thread(log.unlink, missing_ok=True)
    with engine() as client:
        for generation in generations:
            before = _images(client, generation)
            words = (*compose_program(), "--project-name", "threegen", "--file", str(FILE))
            words = (*words, "--profile", generation, "build")
            try:
                await with_progress(words, log, BUILD_TIMEOUT_S, f"building the image of {generation}", say)
            except DeploymentError as error:
                raise MachineError(
                    f"the image of {generation} cannot be built: {_last_words(log)} (all of it: {log})"
                ) from error
            for image in before - _images(client, generation):
                with contextlib.suppress(APIError):  # another container may still use it
                    client.images.remove(image)
            for name in _public_images(generation):
                await asyncio.to_thread(_fetch, client, name, say)


def versions(generations: Sequence[str]) -> Mapping[str, str]:
    """The engine's version, and the images it did not build here, by name; raises MachineError."""
    with engine() as client:
        found = {"docker": str(client.version()["Version"])}
        for name in {image for generation in generations for image in _public_images(generation)}:
            found[f"image {name}"] = client.images.get(name).short_id
        return found


def _last_words(log: Path) -> str:
    """The log's last two lines: docker-compose says at the end that it failed, and before that why."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "; ".join(lines[-2:])[:400] or "its log is empty"


def _fetch(client: DockerClient, name: str, say: Say) -> None:
    try:
        client.images.get(name)
    except ImageNotFound:
        say(f"fetching the image {name}")
        try:
            client.images.pull(name)
        except (DockerException, RequestException) as error:
            raise MachineError(
                f"the image {name} is not here and cannot be fetched: {' '.join(str(error).split())[:200]}; "
                f"see that the registry can be reached (docker pull {name})"
            ) from error


def _public_images(generation: str) -> list[str]:
    """The images of the generation's services that are not built here."""
    services: Mapping[str, Any] = YAML(typ="safe").load(FILE.read_text())["services"]
    used = {one["image"] for one in services.values() if one["profiles"] == [generation]}
    return sorted(image for image in used if "$" not in image)


def _images(client: DockerClient, generation: str) -> set[str]:
    """The id of the generation's image, where it has been built."""
    try:
        return {client.images.get(f"{os.environ.get('THREEGEN_IMAGE') or 'threegen'}:{generation}").id}
    except ImageNotFound:
        return set()
