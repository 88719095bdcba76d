"""What tests of the edge share."""

import pytest

from minting import KEY


@pytest.fixture
def keyed(serve):
    return serve(api_key=KEY)
