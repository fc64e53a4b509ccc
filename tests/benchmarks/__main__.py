"""`python -m tests.benchmarks [PART …]`: run the parts, print their tables, write results/benchmarks/*.csv.

Exit 0 where all goals are met, 1 where one is not, 2 where something is missing here.
"""

import argparse
import datetime
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bench.errors import BenchError
from tests.benchmarks.setting import Setting
from tests.benchmarks.tables import Figure, failures, show, write_csv

if TYPE_CHECKING:
    from tests.benchmarks.throughput import Throughput

WIDTH = 130
"""Of the tables, where no terminal says how wide it is."""
RESULTS = Path("results/benchmarks")


class Parts:
    """Every part by its name; what one learns that another needs is asked for once."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._known: Throughput | None = None
        self._crowds: dict[int, float] = {}

    def throughput(self) -> Sequence[Figure]:
        return self._throughput.figures

    def accuracy(self) -> Sequence[Figure]:
        from tests.benchmarks import accuracy

        crowds_per_s = self._crowds_ceiling_per_s(accuracy.PEOPLE)
        return accuracy.measure(self._setting, self._throughput.ceilings_per_s, crowds_per_s)

    def stall(self) -> Sequence[Figure]:
        from tests.benchmarks import stall

        return stall.measure(self._setting, self._throughput.ceilings_per_s)

    def memory(self) -> Sequence[Figure]:
        from tests.benchmarks import memory

        crowds_per_s = self._crowds_ceiling_per_s(memory.PEOPLE)
        return memory.measure(self._setting, crowds_per_s, self._throughput.peaks_bytes)

    def hour(self) -> Sequence[Figure]:
        from tests.benchmarks import hour

        return hour.measure(self._setting)

    def report(self) -> Sequence[Figure]:
        from tests.benchmarks import report

        return report.measure(self._setting)

    def xmpp(self) -> Sequence[Figure]:
        from tests.benchmarks import xmpp

        return xmpp.measure(self._setting)

    def verdicts(self) -> Sequence[Figure]:
        from tests.benchmarks import verdicts

        return verdicts.measure()

    def _crowds_ceiling_per_s(self, people: int) -> float:
        from tests.benchmarks import throughput

        if people not in self._crowds:
            self._crowds[people] = throughput.crowds_ceiling(self._setting, people)
        return self._crowds[people]

    @property
    def _throughput(self) -> "Throughput":
        """The throughput part: other parts need the ceilings that it finds."""
        from tests.benchmarks import throughput

        if self._known is None:
            self._known = throughput.measure(self._setting)
        return self._known


def main(arguments: Sequence[str] | None = None) -> int:
    names = [name for name in vars(Parts) if not name.startswith("_")]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(names)}; default all")
    parser.add_argument("--rounds", type=_positive_int, default=5, help="of each tool; default 5")
    parser.add_argument("--seconds", type=_positive, default=5.0, help="that a round measures; default 5")
    parser.add_argument("--minutes", type=_positive, default=2.0, help="of the memory part; default 2")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.parts if name not in names]
    if unknown:
        parser.error(f"{unknown[0]}: no such part; expected {', '.join(names)}")
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    with tempfile.TemporaryDirectory(prefix="threegen-benchmarks-") as folder:
        parts = Parts(Setting(Path(folder), given.rounds, given.seconds, given.minutes, _say))
        found: dict[str, Sequence[Figure]] = {}
        try:
            for name in given.parts or names:
                found[name] = getattr(parts, name)()
                console.print(show(name, found[name]))
        except BenchError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            return 130
        finally:
            _write(found)
    missed = failures(one for figures in found.values() for one in figures)
    for one in missed:
        console.print(
            f"[red]missed[/red]: {one.part}: {one.subject}: {one.metric}: goal {one.goal} {one.unit}"
        )
    return 1 if missed else 0


def _say(text: str) -> None:
    print(f"benchmarks: {text}", file=sys.stderr, flush=True)


def _write(found: Mapping[str, Sequence[Figure]]) -> None:
    if found:
        moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
        path = RESULTS / f"{moment}-{'-'.join(found)}.csv"
        write_csv(path, [one for figures in found.values() for one in figures])
        print(f"benchmarks: {path}", file=sys.stderr)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text}: expected a number above 0")
    return value


def _positive_int(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
