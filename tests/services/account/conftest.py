import pytest
from msgspec.structs import replace

from backend.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Return settings with which sessions end as they do in a city."""
    return replace(settings, refresh_token_days=Settings().refresh_token_days)
