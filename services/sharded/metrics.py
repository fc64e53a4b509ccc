"""What an api node counts."""

from prometheus_client import Counter, Gauge, Histogram

from services.runtime import Node
from services.sharded.routing import ShardMap


class Metrics:
    """What an api node counts."""

    def __init__(self, node: Node) -> None:
        registry = node.registry
        requests = Counter(
            "threegen_requests", "Requests answered.", ["operation", "outcome"], registry=registry
        )
        self.login_ok = requests.labels("login", "ok").inc
        self.login_failed = requests.labels("login", "failed").inc
        self._stored = {
            (operation, status == 200): requests.labels(operation, outcome).inc
            for operation in ("send", "group_send", "presence")
            for status, outcome in ((200, "ok"), (503, "unknown"))
        }
        self._failed = {
            operation: requests.labels(operation, "failed").inc
            for operation in ("send", "group_send", "presence")
        }
        self.sync = requests.labels("sync", "ok").inc
        self.sync_failed = requests.labels("sync", "failed").inc
        self._acknowledged = Counter(
            "threegen_messages_acknowledged",
            "Sends acknowledged, those of messages sent again among them.",
            registry=registry,
        ).inc
        self._group_sends = Counter(
            "threegen_group_sends",
            "Messages to groups acknowledged, those sent again among them.",
            registry=registry,
        ).inc
        self._syncs = Counter(
            "threegen_syncs", "Inboxes read by people who do not wait.", registry=registry
        ).inc
        self._presence_changes = Counter(
            "threegen_presence_changes", "Presences changed by people who are online.", registry=registry
        ).inc
        self._refused = Counter(
            "threegen_messages_refused", "Sends answered with an error.", registry=registry
        ).inc
        self._unanswered = Counter(
            "threegen_messages_unanswered",
            "Sends given up on, which may be stored or not; in sharded, answered 503.",
            registry=registry,
        ).inc
        self.duplicated = Counter(
            "threegen_messages_duplicated", "Messages sent again and suppressed.", registry=registry
        ).inc
        self.delivered = Counter(
            "threegen_messages_delivered", "Messages handed to their addressees.", registry=registry
        ).inc
        self._sizes = Histogram(
            "threegen_sharded_commit_messages",
            "Messages stored by one commit.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        self._seconds = Histogram(
            "threegen_sharded_commit_seconds",
            "Time of one commit, with its replica's acknowledgement.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
            registry=registry,
        )
        self._epoch = Gauge(
            "threegen_sharded_map_epoch",
            "The shard's epoch as this node knows it.",
            ["shard"],
            registry=registry,
        )

    def answered(self, operation: str, status: int) -> None:
        """What had been in line was answered."""
        well = status == 200
        self._stored[operation, well]()
        if operation == "presence":
            if well:
                self._presence_changes()
        elif well:
            (self._group_sends if operation == "group_send" else self._acknowledged)()
        else:
            self._unanswered()

    def refused(self, operation: str) -> None:
        """A request was answered with an error, and not put in line."""
        self._failed[operation]()
        if operation != "presence":
            self._refused()

    def looked(self) -> None:
        """Somebody asked what there is, without waiting."""
        self.sync()
        self._syncs()

    def committed(self, messages: int, seconds: float) -> None:
        """One commit was made."""
        self._sizes.observe(messages)
        self._seconds.observe(seconds)

    def mapped(self, latest: ShardMap) -> None:
        """A new shard map came."""
        for shard, primary in enumerate(latest.shards):
            self._epoch.labels(str(shard)).set(primary.epoch)
