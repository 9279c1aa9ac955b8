"""Where a value is stored, so that an encrypted value can be bound to it."""

from typing import NamedTuple

from backend.store import Document


class Place(NamedTuple):
    """A field of a stored document."""

    collection: str
    id: str
    field: str

    @classmethod
    def of(cls, kind: type[Document], document_id: str, field: str) -> "Place":
        """Return the place of a field that this kind of document has."""
        assert field in kind.__struct_fields__, f"{kind.__name__} has no field {field}"
        return cls(kind.collection, document_id, field)
