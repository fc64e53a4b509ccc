"""Locust patches the standard library when it is imported, so it is imported in a process of its own."""

import json
import subprocess
import sys

SCRIPT = """
from bench.load.locust_people import feed
import json
import numpy as np
from locust.env import Environment
from bench.load.recorder import SEND, Recorder

recorder = Recorder(lambda bins, until: None, bin_width_s=1, timeout_s=2, slo_ms=300)
recorder.begin(0)
stats = Environment(user_classes=[]).stats

def settle(now_ns):
    for _ in recorder.settle(now_ns):
        pass
    feed(stats, recorder)

recorder.lay_out([SEND] * 201, [0] * 201, np.zeros(201, dtype=np.int64))
for n in range(200):
    recorder.answered(recorder.sent(0), (n + 1) * 1_000_000, n % 10 != 0)
    if n % 50 == 0:
        settle(n * 1_000_000)
recorder.login(0, 5_000_000, ok=True)
late = recorder.sent(0)
settle(3_000_000_000)                             # it times out
recorder.answered(late, 3_500_000_000, True)      # and is answered all the same
settle(4_000_000_000)
settle(4_000_000_000)
send = stats.get("send", "threegen")
print(json.dumps({
    "requests": send.num_requests, "failures": send.num_failures, "untimed": send.num_none_requests,
    "shortest": send.min_response_time, "longest": send.max_response_time,
    "median": send.median_response_time, "mean": send.avg_response_time,
    "logins": stats.get("login", "threegen").num_requests, "all": stats.total.num_requests,
    "rates": sum(send.num_reqs_per_sec.values()),
}))
"""


def test_locusts_statistics_agree_with_the_recorder() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "requests": 201,
        "failures": 20,
        "untimed": 1,
        "shortest": 1,
        "longest": 200,
        "median": 100,
        "mean": 100.5,
        "logins": 1,
        "all": 202,
        "rates": 201,
    }
