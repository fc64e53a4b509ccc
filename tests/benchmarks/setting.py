"""What all parts share: where things are kept, who gets which core, how long and how often."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import Cores, divide_cores


@dataclass(frozen=True, slots=True)
class Setting:
    """One call of the benchmarks. `say` tells a line of progress."""

    folder: Path
    rounds: int
    seconds: float
    minutes: float
    say: Callable[[str], None]
    cores: Cores = field(default_factory=divide_cores)

    def fresh(self, name: str) -> Path:
        """A new folder for one run of one tool."""
        return Path(tempfile.mkdtemp(prefix=f"{name.replace(' ', '-')}-", dir=self.folder))
