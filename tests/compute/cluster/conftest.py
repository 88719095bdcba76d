"""Makes the stand-in workers importable, and ends them."""

import pytest

from workers import Workers


@pytest.fixture(scope="session")
def hire():
    """Starts workers; they end with the tests."""
    hired = []

    def hiring(*engines, **options):
        hired.append(Workers(*engines, **options))
        return hired[-1]

    yield hiring
    for workers in hired:
        workers.stop()
