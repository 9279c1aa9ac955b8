"""The sandbox of the registry of titles, prizes and posts: it invents, confirms, refutes, delays and errs."""

from backend.city.service import Integration
from backend.services.talent_code.invention import Merit, invented_merits
from backend.services.talent_code.ports import Employment, Finding
from backend.settings import Settings
from integrations._sandbox import Books
from integrations._sandbox_registry import Register, confirm


class SandboxEmployment:
    """Knows the titles, prizes and posts of an invented city, and what it was told besides."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._merits = Register(books, "confirm_merit", tuple[Merit, ...], self._invented)

    async def confirm_merit(self, id_number: str, evidence: str, merit: Merit) -> Finding:
        """Confirm a merit that equals one of the person's: the same name, and the same day in UTC+8.

        Of a post, the day of its end is the same too, or neither has ended. Raises Silent or Refused.
        """
        return await confirm(self._merits, id_number, evidence, merit)

    def known(self, id_number: str) -> tuple[Merit, ...]:
        """Give a person's true titles, prizes and posts."""
        return self._merits.known(id_number)

    def set_merits(self, id_number: str, *merits: Merit) -> None:
        """Let a person have these titles, prizes and posts from now on, and no others."""
        self._merits.set(id_number, merits)

    def _invented(self, id_number: str) -> tuple[Merit, ...]:
        return invented_merits(id_number, self.books.clock())


def _make(settings: Settings) -> SandboxEmployment:
    return SandboxEmployment(Books(settings.sandbox))


integration = Integration(port=Employment, make=_make)
