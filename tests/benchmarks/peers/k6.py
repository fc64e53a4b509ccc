"""k6: JavaScript on Go. With a rate it uses its own open model, the constant-arrival-rate executor."""

import json
from pathlib import Path

from bench.programs import require
from tests.benchmarks.peers import QUANTILES, Load, Report, Target
from tests.benchmarks.running import Running

_SCRIPT = """
import http from 'k6/http';
export const options = {options};
export default function () {{ http.get('{url}'); }}
export function handleSummary(data) {{ return {{ '{file}': JSON.stringify(data.metrics) }}; }}
"""


class K6:
    """A bench `Peer`."""

    name = "k6"

    def start(self, target: Target, load: Load, folder: Path, cores: frozenset[int] | None) -> Running:
        """See Peer."""
        folder.mkdir(parents=True, exist_ok=True)
        duration = f"{load.seconds:g}s"
        if load.rate_per_s is None:
            scenario = {"executor": "constant-vus", "vus": load.connections, "duration": duration}
        else:
            scenario = {
                "executor": "constant-arrival-rate",
                "rate": round(load.rate_per_s),
                "timeUnit": "1s",
                "duration": duration,
                "preAllocatedVUs": load.connections,
            }
        options = {
            "scenarios": {"all": {**scenario, "gracefulStop": "5s"}},
            "discardResponseBodies": True,
            "summaryTrendStats": [f"p({quantile * 100:g})" for quantile in QUANTILES],
        }
        script = folder / "script.js"
        text = _SCRIPT.format(options=json.dumps(options), url=target.url, file=folder / "k6.json")
        script.write_text(text)
        quiet = ("--quiet", "--no-usage-report", "--no-color", "--log-output=stderr")
        # No REST service of its own: two runs at once would quarrel about its port.
        command = [require("k6"), "run", *quiet, "--address", "", str(script)]
        return Running(command, folder / "k6.log", cores=cores)

    def report(self, running: Running, folder: Path) -> Report:
        """See Peer."""
        running.wait(300)
        metrics = json.loads((folder / "k6.json").read_text())
        duration = metrics["http_req_duration"]["values"]
        return Report(
            metrics["http_reqs"]["values"]["count"], {q: duration[f"p({q * 100:g})"] for q in QUANTILES}
        )
