"""One run at a time on one host: two would measure each other."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import MachineError

LOCK = Path(tempfile.gettempdir()) / "threegen.lock"


@contextlib.contextmanager
def host_lock(path: Path = LOCK) -> Iterator[None]:
    """Hold the host for a run; raises MachineError where another holds it. The kernel frees it at death."""
    lock = FileLock(path, timeout=0, mode=0o666)
    try:
        lock.acquire()
    except Timeout as error:
        raise MachineError(
            f"another bench run holds {path}: two runs would measure each other; wait for it to end"
        ) from error
    except OSError as error:
        raise MachineError(
            f"{path}: {error.strerror}: cannot be locked; remove it, or mend its rights"
        ) from error
    try:
        yield
    finally:
        lock.release()
