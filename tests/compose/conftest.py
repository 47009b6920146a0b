"""What the tests of the stacks share."""

from tests.e2e.conftest import say  # noqa: F401  # a fixture
