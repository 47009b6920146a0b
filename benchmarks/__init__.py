"""The benchmarks: our figures beside those of the peers, in one run on one machine. ``python -m benchmarks --help``."""
