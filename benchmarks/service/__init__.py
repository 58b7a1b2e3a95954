"""The load and fault run: a real service, real clients, and a bad day (`python -m benchmarks service`)."""
