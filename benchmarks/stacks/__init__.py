"""Cost of the provider in the stacks of docker compose: ``python -m benchmarks.stacks``; needs a Docker engine."""
