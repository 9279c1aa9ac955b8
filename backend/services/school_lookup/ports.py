"""The external dependency of the school lookup: the registers of households, property and residence permits.

`id_number` is the text of an `IdentityDocument`: a resident ID number, or another document as `kind:number`.
"""

from typing import Protocol, runtime_checkable

from backend.services.school_lookup.family import Family


@runtime_checkable
class FamilyRegister(Protocol):
    """The city's records of families, so that a parent need not type them again."""

    async def family(self, id_number: str) -> Family | None:
        """Return the family of the parent with this ID number, or None if no children are on record.

        Raises UpstreamTimeout.
        """
        ...
