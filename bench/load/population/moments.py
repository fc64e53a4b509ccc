"""What came of a population, measured on it, beside what was aimed at."""

from dataclasses import dataclass

import numpy as np

from bench.load.population.bodies import KINDS, bodies, kind_counts
from bench.load.population.circles import CLASSES, Circles, class_shares, target_of
from bench.load.population.groups import size_moments
from bench.load.population.people import Population
from bench.load.population.ties import DEGREE_SIGMA, clustering
from bench.plan import Plan

ASKED = 200
"""Of how many people the circles are counted."""
SENDS = 65_536


@dataclass(frozen=True, slots=True)
class Moment:
    """One figure: what was aimed at (None: nothing) and what is (None: there is nothing to measure)."""

    name: str
    unit: str
    target: float | None
    measured: float | None


def moments(population: Population, plan: Plan) -> list[Moment]:
    """Degrees, clustering, circles, groups, classes, kinds and sizes.

    The clustering's target is what a random graph of the same degrees has, which it must be well above.
    """
    people, ties = plan.clients, population.contacts
    degrees = ties.degrees
    found = [
        Moment("strong ties, mean", "people", plan.contacts, float(degrees.mean())),
        Moment("strong ties, σ of ln", "", DEGREE_SIGMA, float(np.log(degrees).std())),
        Moment("clustering coefficient", "", None, clustering(ties, plan.seed)),
        Moment("  of a random graph", "", None, random_clustering(degrees)),
    ]
    circles = Circles(ties, plan.contacts, range(people), plan.seed)
    source = np.random.default_rng([plan.seed, 8])
    asked = source.integers(0, people, ASKED).tolist()
    for name, circle in (("second", circles.second_degree_of), ("region", circles.region_of)):
        words = {"second": "second-degree ties", "region": "ties of the region"}[name]
        mean = float(np.mean([len(circle(person)) for person in asked]))
        found.append(Moment(f"{words}, mean", "people", target_of(name, plan.contacts), mean))
    if population.groups:
        sizes = np.array([len(group) for group in population.groups])
        mean, written_to = size_moments(plan.largest_group)
        found += [
            Moment("group size, mean", "people", mean, float(sizes.mean())),
            Moment("group size, of a message", "people", written_to, float((sizes**2).sum() / sizes.sum())),
            Moment("group size, largest", "people", plan.largest_group, float(sizes.max())),
        ]
    if plan.mix.get("send"):
        _, classes = circles.partners(source.integers(0, people, SENDS), source)
        counted = np.bincount(classes, minlength=len(CLASSES)) / SENDS
        for name, ratio, measured in zip(CLASSES, class_shares().values(), counted, strict=True):
            words = {"strong": "strong ties", "second": "second degree", "region": "the region"}[name]
            found.append(Moment(f"sends to {words}", "%", 100 * ratio, 100 * float(measured)))
    if plan.mix.get("send") or plan.mix.get("group_send"):
        stock = [len(body.text) for body in bodies(plan, plan.seed)]
        counts = kind_counts()
        for name, many in counts.items():
            found.append(
                Moment(f"bodies: {name.replace('_', ' ')}", "%", 100 * KINDS[name], 100 * many / len(stock))
            )
        texts = stock[: counts["text"]]
        found += [
            Moment("text, median", "B", plan.body_median_bytes, float(np.median(texts))),
            Moment("text, p99", "B", plan.body_p99_bytes, float(np.quantile(texts, 0.99))),
        ]
    return found


def random_clustering(degrees: np.typing.NDArray[np.int64]) -> float | None:
    """The clustering coefficient that a random graph with these degrees is expected to have.

    (<k²> - <k>)² / (n <k>³), Newman, Strogatz & Watts 2001; None where nobody has a friend.
    """
    mean = float(degrees.mean())
    if not mean:
        return None
    square = float((degrees.astype(np.float64) ** 2).mean())
    return min(1.0, (square - mean) ** 2 / (len(degrees) * mean**3))
