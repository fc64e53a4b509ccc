"""Where to cut a stream of XML, so that a parser never sees half a tag.

Expat from 2.6 on, and the 2.5 of distributions that took over its security fixes, put off parsing an
unfinished token until the buffer has doubled: a stanza that TCP cut in two would wait for whatever comes
next. Python can switch that off only from 3.11.9 and 3.12.3 on, and not on a distribution's older one. Text
needs no care: an unfinished token in it is a few bytes, and the tag behind it is longer.
"""

import re

_TAG = re.compile(rb"""<(?:[^<>"']|"[^"]*"|'[^']*')*>""")


class TagBuffer:
    """Holds back a tag that has begun until its end has come."""

    def __init__(self) -> None:
        self._held = b""

    def take(self, data: bytes) -> bytes:
        """All that can be parsed now, in order; what is held back counts for the next call."""
        if self._held:
            data = self._held + data
        end = _end_of_whole_tags(data)
        self._held = data[end:]
        return data[:end] if self._held else data


def _end_of_whole_tags(data: bytes) -> int:
    """Where the last tag begins if its end has not come yet, else the end. No `<` may stand anywhere else."""
    start = data.rfind(b"<")
    return len(data) if start < 0 or _TAG.match(data, start) else start
