"""A Docker engine for the tests: the one that answers, or one of their own that ends with them."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.children import last_line
from bench.programs import find as find_program

ASK_TIMEOUT_S = 20.0
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
POLL_S = 0.2
START_ONE = "start one (sudo systemctl start docker) and be allowed to use it, or run the tests as root"


class NoEngine(Exception):
    """There is none and none can be started; one line says what to do."""


@contextlib.contextmanager
def docker_engine() -> Iterator[Mapping[str, str]]:
    """What to put into the environment of docker and docker-compose; raises NoEngine.

    An engine of our own uses the machine's store of images, so that they are there the next time.
    """
    if shutil.which("docker") is None:
        raise NoEngine("no docker command here: sudo apt-get install docker.io docker-compose")
    if _answers({}):
        yield {}
    elif "DOCKER_HOST" in os.environ:
        raise NoEngine(f"no Docker engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}")
    elif os.geteuid() != 0:
        raise NoEngine(f"no Docker engine answers: {START_ONE}")
    else:
        with engine_of_our_own() as environment:
            yield environment


@contextlib.contextmanager
def engine_of_our_own(*options: str) -> Iterator[Mapping[str, str]]:
    """Run `dockerd` with further `options` as a child: it ends with us, and its containers with it."""
    dockerd = find_program("dockerd")
    setpriv = find_program("setpriv")
    if dockerd is None or setpriv is None:
        raise NoEngine("no Docker engine answers and none is installed: sudo apt-get install docker.io")
    folder = Path(tempfile.mkdtemp(prefix="threegen-engine-"))
    environment = {"DOCKER_HOST": f"unix://{folder}/docker.sock"}
    log = folder / "dockerd.log"
    with log.open("wb") as out:
        # SIGTERM when we die, however that is: on SIGKILL dockerd would leave its containers running.
        running = subprocess.Popen(
            [
                *(setpriv, "--pdeathsig", "TERM", dockerd),
                *("--host", environment["DOCKER_HOST"], "--pidfile", str(folder / "dockerd.pid")),
                *("--exec-root", str(folder / "run"), *options),
            ],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(environment):
            if running.poll() is not None or time.monotonic() > deadline:
                raise NoEngine(f"dockerd did not start: {last_line(log)}; {START_ONE}")
            time.sleep(POLL_S)
        yield environment
    finally:
        running.terminate()
        try:
            running.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(environment: Mapping[str, str]) -> bool:
    # `version` asks the engine; `info` would exit 0 without one in some releases.
    asked = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        capture_output=True,
        check=False,
        timeout=ASK_TIMEOUT_S,
        env={**os.environ, **environment},
    )
    return asked.returncode == 0
