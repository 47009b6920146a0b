"""What mypy says of the public API: `make lint` checks these modules, and nothing executes them."""
