"""Devices that are read once a second during a trial: nodes, host, generator."""
