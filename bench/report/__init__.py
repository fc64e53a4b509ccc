"""Turns analysed figures into something to look at; computes nothing."""
