"""The load process: `python -m bench.load`, Locust's own process, told what to do by the conductor."""
