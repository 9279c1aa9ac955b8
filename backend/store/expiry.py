"""Delete documents whose retention period has ended."""

from collections.abc import Callable

from backend.store import D
from backend.store.due import BATCH_SIZE, SweepContext, drain, ended
from backend.store.update import delete_unless_changed


async def delete_expired(
    context: SweepContext, kind: type[D], may_end: Callable[[D], bool] = lambda _document: True
) -> None:
    """Delete all documents of a kind whose retention has ended, oldest first, until none is left.

    Those that may not end yet, such as an unpaid bill, stay.
    """

    async def delete(document: D) -> None:
        if may_end(document):
            await delete_unless_changed(context.store, document)

    await drain(context, ended(kind), delete, max_concurrent=BATCH_SIZE)
