"""The sandbox of the register of homes: it invents how many people own, and delays, refuses and errs."""

from backend.city.service import Integration
from backend.services.talent_code.invention import chance_of
from backend.services.talent_code.ports import PropertyRegister
from backend.settings import Settings
from integrations._sandbox import Books
from integrations._sandbox_registry import Register, impossible, tell


class SandboxPropertyRegister:
    """Of ten people four own no home, five one and one two."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._homes = Register(books, "homes", int, _invented)

    async def homes(self, id_number: str) -> int:
        """Tell how many homes a person owns in the city. Raises Silent or Refused."""
        return await tell(self._homes, id_number, impossible)

    def set_homes(self, id_number: str, homes: int) -> None:
        """Let a person own so many homes."""
        self._homes.set(id_number, homes)


def _invented(id_number: str) -> int:
    return chance_of("homes", id_number).choice((0, 0, 0, 0, 1, 1, 1, 1, 1, 2))


def _make(settings: Settings) -> SandboxPropertyRegister:
    return SandboxPropertyRegister(Books(settings.sandbox))


integration = Integration(port=PropertyRegister, make=_make)
