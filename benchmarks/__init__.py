"""Measure this project, the floors under it and its peers, side by side.

Run ``python -m benchmarks --help`` from a checkout; ``docs/benchmarks.md`` says how to read the result.
"""
