"""One reading of one device."""

from typing import NamedTuple


class Reading(NamedTuple):
    """`metric` of `subject` (a node, `generator` or `host`) in `unit`."""

    subject: str
    metric: str
    value: float
    unit: str
