"""Documents in hand: copies of documents that this process read or wrote a moment ago and is about to change again.

A hospital sends the charges of a visit one after the other, and reading the visit again before each of them would cost
as much as storing the charge. A copy is only ever the basis of a write, which the store refuses if the document has
changed since; nothing is answered from it. A document that other processes turn out to write as well is not kept any
more, so that the copies of a document cost at most MAX_REFUSED refused writes.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from msgspec import Struct

from backend.store import Conflict, Document, Store

MAX_IN_HAND = 500
"""How many documents a process keeps for each store; the one that was used longest ago is dropped."""

MAX_REFUSED = 2

D = TypeVar("D", bound=Document)


class _Copy(Struct, Generic[D]):
    """A copy, None while it is being changed or was outdated, and how many writes by a copy the store has refused."""

    document: D | None
    refused: int = 0


_Copies = OrderedDict[tuple[type[Document], str], _Copy[Any]]
_copies: WeakKeyDictionary[Store, _Copies] = WeakKeyDictionary()


def keep_in_hand(store: Store, document: Document) -> None:
    """Keep a document as it is stored now, unless other processes were found to write it as well."""
    copies = _copies.setdefault(store, _Copies())
    key = type(document), document.id
    copy = copies.setdefault(key, _Copy(None))
    newer = copy.document is None or copy.document.revision < document.revision
    if newer and copy.refused < MAX_REFUSED:
        copy.document = document
    copies.move_to_end(key)
    if len(copies) > MAX_IN_HAND:
        copies.popitem(last=False)


def renew_in_hand(store: Store, document: Document) -> None:
    """Replace the copy of a document that was just stored, if there is one."""
    copy = _copies.get(store, _Copies()).get((type(document), document.id))
    if copy is not None and copy.document is not None:
        copy.document = document


async def change_in_hand(
    store: Store,
    kind: type[D],
    document_id: str,
    change: Callable[[D], Awaitable[D]],
    refusals: tuple[type[Exception], ...],
) -> D | None:
    """Change and store a document by the copy in hand, without reading it, and return it; the copy is used up.

    None means that nothing was stored and the caller must read the document: there is no copy, it is outdated, or by
    it `change` returned the same object or raised one of the `refusals`.
    """
    copy: _Copy[D] | None = _copies.get(store, _Copies()).get((kind, document_id))
    document = copy.document if copy is not None else None
    if copy is None or document is None:
        return None
    copy.document = None  # another task that changes the document meanwhile reads it
    try:
        changed = await change(document)
        return None if changed is document else await store.replace(changed)
    except refusals:
        return None
    except Conflict:
        copy.refused += 1
        return None
