"""Definitions of workflows: what users write, checked as a whole, and the plan that it is compiled into.

Knows the shared words of the patterns (targets, expressions, policies) and the engine's errors, and
nothing of runs or stores. Everything here is immutable; only a `PlanCache` changes, and its engine owns it.
"""
