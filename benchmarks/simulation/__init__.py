"""Check of the formulas in docs/scaling.md by a simulation. ``python -m benchmarks.simulation --help``."""
