from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integrations.his.hl7v2.receiver_scene import Receiver
from tests.integrations.his.hl7v2.receiving_city import ReceivingCity


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """Return a city on the embedded store that receives messages."""
    running = Receiver(tmp_path)
    yield running
    running.close()


@pytest.fixture
def receiver_on_either_store(tmp_path: Path, address: str) -> Iterator[Receiver]:
    running = Receiver(tmp_path, address)
    yield running
    running.close()


@pytest.fixture(scope="module")
def receiving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReceivingCity]:
    """Return a city that all tests of a module share; each has its own visits."""
    city = ReceivingCity(tmp_path_factory.mktemp("receiving"))
    yield city
    city.close()
