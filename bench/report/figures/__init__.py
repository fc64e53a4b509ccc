"""Figures, as Vega-Lite specifications: `drawing.py` lists a run's, `static.py` draws them to files."""
