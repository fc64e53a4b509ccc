"""A profile: the YAML a user writes, read into a checked value, or refused in one line.

    model.py            what the keys are, of what kind, and their defaults
    contradictions.py   what must not be said together; of faults: fault_defects.py
    injections.py       what its faults come to: which nodes, when, and until when
    reading.py          the file: its defects told with file, line, key, value, and what is allowed

docs/profiles.md explains the keys to users.
"""

from bench.profile.contradictions import contradictions
from bench.profile.injections import Injection, injections
from bench.profile.model import Capacity, Fault, Profile
from bench.profile.reading import load_profile, refusal

__all__ = [
    "Capacity",
    "Fault",
    "Injection",
    "Profile",
    "contradictions",
    "injections",
    "load_profile",
    "refusal",
]
