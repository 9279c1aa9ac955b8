"""A transaction over several visits, from the moment it is accepted until all of them are stored."""

from typing import ClassVar

from msgspec import Struct

from backend.jobs.saga import DUE, SagaDocument
from backend.services.medical_credit.model.visit import Visit
from backend.store import Index
from backend.store.retention import Retention

MAX_LINES_TOGETHER = 20_000
"""The most lines, before and after, that the visits of one transaction may have; a stored document has 16 MB."""


class VisitChange(Struct, frozen=True):
    """A visit `before` a transaction, None if the transaction opens it, and `after`."""

    before: Visit | None
    after: Visit


class VisitTransaction(SagaDocument, kw_only=True):
    """Changes of several visits, of which all take effect or none.

    Each visit is one document. This one is stored first, so that a process that dies leaves no part: the next process
    stores the other visits. If another writer changed one of the visits meanwhile, it is `undoing`: those that are
    stored already become what they were before. Its id is an event of each visit that it has changed.
    """

    collection: ClassVar[str] = "visit_transactions"
    indexes: ClassVar[tuple[Index, ...]] = (DUE,)
    retention: ClassVar[Retention] = Retention(
        grows_with="a hospital's transaction over several visits",
        ends="once the visits are stored, within seconds",
        names="nobody",
    )

    changes: tuple[VisitChange, ...]
    undoing: bool = False
