"""Stored answers of the talent code that its example of a migration does not show."""

from importlib import import_module
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ClaimedAlready", "AlreadyClaimed"),
        ("MoneyOwed", "RepaymentOutstanding"),
        ("RepaymentInFlight", "RepaymentInProgress"),
    ],
)
def test_a_problem_that_was_answered_has_its_present_name(before: str, after: str) -> None:
    migration = import_module("migrations.0023_rename_fields_of_answered_claims")
    body: dict[str, Any] = {"id": "i", "revision": 1, "problem": {"kind": before, "members": {}}}
    assert migration.change(body) == body | {"problem": {"kind": after, "members": {}}}


@pytest.mark.parametrize("answer", [None, '{"ending":"0003"}'])
def test_other_answers_stay(answer: str | None) -> None:
    migration = import_module("migrations.0023_rename_fields_of_answered_claims")
    assert migration.change({"id": "i", "revision": 1, "answer": answer}) is None
