"""Which node of a service to call: those that say they live, in turn, but for one that just failed. Pure.

A queue group alone goes on choosing a member that hangs, for its connection stands. So the nodes of
`message` also announce themselves, and a caller calls one by name while it knows any.
"""

ANNOUNCE_S = 0.5
LIVE_S = 1.5
"""One that has not announced itself for so long is not called."""
SHUN_S = 1.0
"""One that left a call unanswered is not called for so long, while there is another."""


class Peers:
    """The nodes of one service, as their announcements and failures show them. Times in s, of one clock."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._shunned: dict[str, float] = {}
        self._turn = 0

    def announced(self, node: str, now_s: float) -> None:
        """Take note that `node` says it lives."""
        self._heard[node] = now_s

    def failed(self, node: str, now_s: float) -> None:
        """Take note that `node` left a call unanswered."""
        self._shunned[node] = now_s

    def choose(self, now_s: float) -> str | None:
        """The node to call; None where none is known to live."""
        live = sorted(node for node, heard in self._heard.items() if now_s - heard < LIVE_S)
        if not live:
            return None
        well = [node for node in live if now_s - self._shunned.get(node, -SHUN_S) >= SHUN_S]
        self._turn += 1
        candidates = well or live
        return candidates[self._turn % len(candidates)]
