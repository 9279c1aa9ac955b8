"""Decisions that were made and stored, so that a draft of the rules can be tried on them.

A service that stores what its rules decided yields these decisions with the facts of then, as far as they are kept.
"""

from datetime import datetime

from msgspec import Struct


class StoredDecision(Struct, frozen=True, kw_only=True):
    """What a rule module decided at an instant: its result and rule, in the rulebook of this digest.

    `id` identifies the decision and never leaves the city as it is. `facts` are those of then; None if they are not
    kept. They may be incomplete: a decision counts as replayed only if its own rulebook decides the same on them.
    """

    module: str
    id: str
    at: datetime
    result: object
    rule: str
    rulebook: str
    facts: Struct | None
