"""One plug-in a system; `benchmarks.catalog` says which there are and what each needs."""
