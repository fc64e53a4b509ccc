"""The life of a run, of a calibration, and of a search: the only modules that hold several effects.

run.py     a run, from a plan to a run folder      trial.py       one trial against what is up
site.py    what a run begins and ends with         deploying.py   a generation laid out with its people
"""
