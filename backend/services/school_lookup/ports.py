"""What the school lookup needs from outside: the registers of households, property and residence permits."""

from typing import Protocol, runtime_checkable

from backend.services.school_lookup.family import Family


@runtime_checkable
class FamilyRegister(Protocol):
    """What the city has on record of a family, so that nothing is typed twice."""

    async def family(self, id_number: str) -> Family | None:
        """Give the family of the parent with this ID number; None where no children are known. Raises Silent."""
        ...
