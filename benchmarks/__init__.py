"""Measurements whose figures stand in `benchmarks/README.md`; run by `./ithaca bench`."""
