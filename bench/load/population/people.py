"""The people of a plan, and how several load processes share them."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.load.population.groups import found_groups
from bench.load.population.ties import Ties, strong_ties
from bench.plan import Plan


@dataclass(frozen=True, slots=True, eq=False)
class Population:
    """People 0, 1, …: `contacts` are each one's strong ties, `groups` the sorted members of each group."""

    contacts: Ties
    groups: Sequence[Sequence[int]]


def populate(plan: Plan) -> Population:
    """The people of a plan; the same for every trial, and for any number of load processes.

    Groups are only founded where the plan has somebody write to one.
    """
    groups = (
        found_groups(plan.clients, plan.groups_each, plan.largest_group, plan.seed)
        if plan.mix.get("group_send")
        else []
    )
    return Population(strong_ties(plan.clients, plan.contacts, plan.seed), groups)


def share(people: int, worker: int, workers: int) -> range:
    """Who of `people` belong to load process `worker` of `workers`: a stretch of the line."""
    return range(people * worker // workers, people * (worker + 1) // workers)
