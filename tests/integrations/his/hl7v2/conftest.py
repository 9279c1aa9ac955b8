from collections.abc import Iterator

import pytest

from tests.integrations.his.hl7v2.receiving_city import ReceivingCity


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingCity]:
    """Return a city that all tests of a module share; each has its own visits."""
    city = ReceivingCity(tmp_path_factory.mktemp("receiving"))
    yield city
    city.close()
