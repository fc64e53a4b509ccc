"""Who there is, who knows whom, and what they ask for: drawn from a seed, the same for every generation.

    people.py   the people of a plan, and how load processes share them
    ties.py     strong ties: who is on whose contact list
    groups.py   who is in which group
    circles.py  whom a person writes to: strong ties, second degree, the same region
    draws.py    what is asked, by whom, of whom
    bodies.py   what is said
    moments.py  what came of it, beside what was aimed at

Pure. People are numbered from 0 along a line on which those who know each other are near, so that load
processes which each take a stretch of it have most conversations to themselves.
"""

from bench.load.population.bodies import Body, bodies
from bench.load.population.draws import Draws, crossing, draws, draws_in_pieces, draws_of
from bench.load.population.people import Population, populate, share

__all__ = [
    "Body",
    "Draws",
    "Population",
    "bodies",
    "crossing",
    "draws",
    "draws_in_pieces",
    "draws_of",
    "populate",
    "share",
]
