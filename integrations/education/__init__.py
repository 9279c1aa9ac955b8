"""The sandbox of the registry of degrees: it invents who studied, and confirms, refutes, delays and errs."""

from backend.city.service import Integration
from backend.services.talent_code.facts import Degree
from backend.services.talent_code.invention import invented_degrees
from backend.services.talent_code.ports import Education, Finding
from backend.settings import Settings
from integrations._sandbox import Books
from integrations._sandbox_registry import Register, confirm


class SandboxEducation:
    """Knows the degrees of an invented city, and what it was told besides."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self._degrees = Register(books, "confirm_degree", tuple[Degree, ...], self._invented)

    async def confirm_degree(self, id_number: str, evidence: str, degree: Degree) -> Finding:
        """Confirm a degree that equals one of the person's in level, school, way of study, and day of award in UTC+8.

        Raises Silent, or Refused where it will not say.
        """
        return await confirm(self._degrees, id_number, evidence, degree)

    def known(self, id_number: str) -> tuple[Degree, ...]:
        """Give a person's true degrees."""
        return self._degrees.known(id_number)

    def set_degrees(self, id_number: str, *degrees: Degree) -> None:
        """Let a person have these degrees from now on, and no others."""
        self._degrees.set(id_number, degrees)

    def _invented(self, id_number: str) -> tuple[Degree, ...]:
        return invented_degrees(id_number, self.books.clock())


def _make(settings: Settings) -> SandboxEducation:
    return SandboxEducation(Books(settings.sandbox))


integration = Integration(port=Education, make=_make)
