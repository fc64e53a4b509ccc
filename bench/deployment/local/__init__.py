"""Real processes on this host: `mariadbd`, `nats-server` and the stubs, with private data and free ports."""
