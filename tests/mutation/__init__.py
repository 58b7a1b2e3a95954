"""Mutation testing: plants one-line bugs and tells which of them no test notices; see README.md."""
