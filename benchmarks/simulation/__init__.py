"""The formulas of docs/scaling.md beside a simulation of the provider. ``python -m benchmarks.simulation --help``."""
