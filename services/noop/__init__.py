"""`noop`: the calibration target. It acknowledges at once, in one client's protocol, and keeps nothing.

    hub.py   who is connected     xmpp.py, http.py, websocket.py   one protocol each     node.py   the node
    script.py   what a scripted target does wrong, for the harness to find

What the generator reaches against it is the generator's own ceiling, so it is as cheap as Python can be:
one process, no disk, no task per request, several answers in one write. Nothing in it is durable: a message
for somebody who is not connected is acknowledged and forgotten.
"""

from services.noop.node import Config, serve

__all__ = ["Config", "serve"]
