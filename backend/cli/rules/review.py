"""The review of a release, as its approver reads it in a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from backend.city.replay import ReplayReport
from backend.cli.rules.diff import diff_lines
from backend.cli.rules.replay import replay_lines
from backend.i18n import Text
from backend.rulebook.diff import RulebookDiff

if TYPE_CHECKING:
    from collections.abc import Iterator

_TITLES = {
    "diff": Text(zh="含义有何改变", en="What changed in meaning"),
    "proof": Text(zh="证明", en="What the prover says"),
    "preview": Text(zh="现在谁会改变", en="Who changes now"),
    "replay": Text(zh="以往的决定会如何", en="What past decisions would have been"),
}


def review_lines(review: dict[str, Any], language: str) -> Iterator[str]:
    """Yield the parts of a review, or why there is none."""
    yield f"{review['compared_with'][:16]} → {review['release'][:16]}"
    for part in review["parts"]:
        yield ""
        yield f"── {_TITLES[part['name']].in_language(language)} ──"
        if part["failure"] is not None:
            yield Text(**part["failure"]).in_language(language)
        elif part["name"] == "diff":
            yield from diff_lines(msgspec.convert(part["report"], RulebookDiff), language)
        elif part["name"] == "replay":
            yield from replay_lines(msgspec.convert(part["report"], ReplayReport), language)
        else:
            yield json.dumps(part["report"], ensure_ascii=False, indent=2)
    yield ""
