"""The sandbox of the register of homes: synthetic homes, and faulty answers."""

from backend.services.talent_code.synthetic import random_for
from backend.settings import Settings
from integrations._sandbox.database import SandboxDatabase
from integrations._sandbox.registry import SandboxRegistry, answer, impossible


class SandboxPropertyRegister:
    """Of ten people four own no home, five own one, and one owns two."""

    def __init__(self, database: SandboxDatabase) -> None:
        self.database = database
        self._homes = SandboxRegistry(database, "homes", int, _synthetic)

    async def homes(self, id_number: str) -> int:
        """Return how many homes a person owns in the city. Raises UpstreamTimeout or UpstreamRejected."""
        return await answer(self._homes, id_number, impossible)

    def set_homes(self, id_number: str, homes: int) -> None:
        """Set how many homes a person owns."""
        self._homes.set(id_number, homes)


def _synthetic(id_number: str) -> int:
    return random_for("homes", id_number).choice((0, 0, 0, 0, 1, 1, 1, 1, 1, 2))


def make(settings: Settings) -> SandboxPropertyRegister:
    """Create the sandbox on the database of the settings."""
    return SandboxPropertyRegister(SandboxDatabase(settings.sandbox))
