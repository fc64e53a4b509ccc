"""What the server says of itself to Prometheus. Hot paths add to plain numbers, read when scraped."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

SYNC_BUCKETS_S = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)


class Metrics(Collector):
    """The server's figures; counts since the process started."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stanzas_received = 0
        self.stanzas_sent = 0
        self.logins = 0
        self.logins_failed = 0
        self.messages_acknowledged = 0
        self.group_sends = 0
        self.syncs = 0
        self.presence_changes = 0
        self.messages_delivered = 0
        self.messages_duplicated = 0
        self.messages_refused = 0
        self.journal_bytes = 0
        self.snapshots = 0
        self.replay_seconds = 0.0
        self.replayed_bytes = 0
        self.replayed_records = 0
        self.sessions: Callable[[], int] = lambda: 0
        self.mailbox_depth: Callable[[], int] = lambda: 0
        self.sync_seconds = Histogram(
            "threegen_monolith_journal_sync_seconds",
            "Write and flush of one group of the journal.",
            buckets=SYNC_BUCKETS_S,
            registry=registry,
        )
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Every figure but the histogram, which registers itself."""
        requests = CounterMetricFamily(
            "threegen_requests", "Requests answered.", labels=["operation", "outcome"]
        )
        requests.add_metric(["login", "ok"], self.logins)
        requests.add_metric(["login", "failed"], self.logins_failed)
        yield requests
        for name, text, value in (
            (
                "messages_acknowledged",
                "Sends acknowledged, those of messages sent again among them.",
                self.messages_acknowledged,
            ),
            (
                "group_sends",
                "Messages to groups acknowledged, those sent again among them.",
                self.group_sends,
            ),
            ("syncs", "Rosters read by people who are online.", self.syncs),
            ("presence_changes", "Presences changed by people who are online.", self.presence_changes),
            ("messages_refused", "Sends answered with an error.", self.messages_refused),
            ("messages_duplicated", "Messages sent again and suppressed.", self.messages_duplicated),
            ("messages_delivered", "Messages their addressees' clients have.", self.messages_delivered),
            ("monolith_stanzas_received", "Stanzas read from clients.", self.stanzas_received),
            ("monolith_stanzas_sent", "Stanzas written to clients.", self.stanzas_sent),
            ("monolith_journal_bytes", "Bytes appended to the journal.", self.journal_bytes),
            ("monolith_snapshots", "Snapshots taken.", self.snapshots),
        ):
            yield CounterMetricFamily(f"threegen_{name}", text, value=value)
        for name, text, number in (
            ("sessions", "People logged in here now; in monolith, resources bound.", self.sessions()),
            ("monolith_mailbox_depth", "Messages taken and not yet delivered.", self.mailbox_depth()),
            ("monolith_replay_seconds", "What the start's replay took.", self.replay_seconds),
            (
                "monolith_replayed_bytes",
                "Bytes of snapshot and journals read at the start.",
                self.replayed_bytes,
            ),
            ("monolith_replayed_records", "Journal records read at the start.", self.replayed_records),
        ):
            yield GaugeMetricFamily(f"threegen_{name}", text, value=number)
