"""2011: one process does everything, in real XMPP."""
