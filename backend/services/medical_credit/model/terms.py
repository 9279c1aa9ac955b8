"""The terms of the agreement as the model reads them."""

from collections.abc import Callable

from backend.services.medical_credit.facts import Term

Terms = Callable[[Term], int]
"""Returns a figure of the agreement in force."""
