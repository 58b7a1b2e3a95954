"""Definitions: their form, the fields that they share, and their way to plain data and drawings.

Knows the vocabulary and the expressions; runs nothing. Definitions are immutable; the one state is
the registry of the kinds of patterns, which `registry` owns.
"""
