"""wrk: closed loop in C, one thread. Its latencies are from the sending, as it has no other moment."""

import json
from pathlib import Path

from bench.programs import require
from tests.benchmarks.peers import QUANTILES, Load, Report, Target
from tests.benchmarks.running import Running

# Its own table ends at 99 %, so a script asks for the rest. Times are in µs there.
_SCRIPT = """
done = function(summary, latency, requests)
  local file = io.open("{file}", "w")
  file:write(string.format('{{"requests": %d, "us": [{places}]}}', summary.requests, {values}))
  file:close()
end
"""


class Wrk:
    """A bench `Peer`; without a rate of its own: the connections decide it."""

    name = "wrk"

    def start(self, target: Target, load: Load, folder: Path, cores: frozenset[int] | None) -> Running:
        """See Peer."""
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / "done.lua"
        values = ", ".join(f"latency:percentile({quantile * 100:g})" for quantile in QUANTILES)
        places = ", ".join(["%.1f"] * len(QUANTILES))
        script.write_text(_SCRIPT.format(file=folder / "wrk.json", places=places, values=values))
        command = [require("wrk"), "-t1", f"-c{load.connections}", f"-d{round(load.seconds)}s"]
        return Running([*command, "-s", str(script), target.url], folder / "wrk.log", cores=cores)

    def report(self, running: Running, folder: Path) -> Report:
        """See Peer."""
        running.wait(300)
        said = json.loads((folder / "wrk.json").read_text())
        return Report(said["requests"], {q: us / 1000 for q, us in zip(QUANTILES, said["us"], strict=True)})
