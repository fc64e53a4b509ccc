"""Plans for tests, of a profile of the fewest words."""

from typing import Any

from bench.plan import Plan
from bench.planning import make_plan
from bench.profile import Profile

MIXED = {"send": "60%", "group_send": "30%", "sync": "6%", "presence": "3%", "login": "1%"}


def plan_of(clients: int, *, seed: int = 1, population: Any = None, **load: Any) -> Plan:
    """So many people, 10 s of 10/s; more of the profile's population and load as given."""
    stage = {"name": "steady", "kind": "steady", "duration": "10s", "rate": "10/s"}
    return make_plan(
        Profile.model_validate(
            {
                "name": "test",
                "seed": seed,
                "population": {"clients": clients, **(population or {})},
                "load": {"stages": [stage], **load},
            }
        )
    )
