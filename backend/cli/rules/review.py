"""The review of a release, as its approver reads it in a terminal."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click
import msgspec

from backend.city.replay import ReplayReport
from backend.cli.rules.diff import diff_lines
from backend.cli.rules.prove import lines_of
from backend.cli.rules.replay import replay_lines
from backend.i18n import Text, date_text
from backend.rulebook.diff import RulebookDiff
from backend.rulebook.prover.report import ProofReport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from zoneinfo import ZoneInfo

_TITLES = {
    "diff": Text(zh="含义有何改变", en="What changed in meaning"),
    "proof": Text(zh="证明", en="What the prover says"),
    "preview": Text(zh="现在谁会改变", en="Who changes now"),
    "replay": Text(zh="以往的决定会如何", en="What past decisions would have been"),
}
_CLAIMS = Text(zh="：编制人的主张", en=": claims of the author")

_MADE_WITHIN = timedelta(hours=1)
"""A review is made in less; one of a later instant looks ahead."""

_AHEAD = Text(
    zh="施行时不改变任何人的结果。以下为首个有变化的时刻（{at}）的预览。",
    en="Nobody's result changes at once. This previews the first instant with a change, {at}.",
)


def print_review(review: dict[str, Any], release: dict[str, Any], zone: ZoneInfo, language: str) -> None:
    """Print the parts of the review of a release, or why there is none, in the city's time zone.

    A module that the release adds is printed whole, since there is nothing to compare it with.
    """
    click.echo(f"{review['compared_with'][:16]} → {review['release'][:16]}")
    for part in review["parts"]:
        click.echo(f"\n── {_TITLES[part['name']].in_language(language)} ──")
        if part["failure"] is not None:
            click.echo(Text(**part["failure"]).in_language(language))
        else:
            _print_part(part["name"], part["report"], release, zone, language)
    click.echo()


def module_text(release: dict[str, Any], name: str, language: str) -> Iterator[str]:
    """Yield the text of a rule module of a release, then the claims of the release's author about it, if any."""
    yield f"# ── {name} ──"
    yield release["files"][name].rstrip()
    if name in release["claims"]:
        yield f"# ── {name}{_CLAIMS.in_language(language)} ──"
        yield release["claims"][name].rstrip()
    yield ""


def _print_part(name: str, report: object, release: dict[str, Any], zone: ZoneInfo, language: str) -> None:
    match name:
        case "diff":
            found = msgspec.convert(report, RulebookDiff)
            click.echo("\n".join(diff_lines(found, language)))
            for added in (one.module for one in found.modules if one.state == "added"):
                click.echo("\n" + "\n".join(module_text(release, added, language)))
        case "proof":
            click.echo("\n".join(lines_of(msgspec.convert(report, ProofReport), language)))
        case "replay":
            click.echo("\n".join(replay_lines(msgspec.convert(report, ReplayReport), zone, language)))
        case _:
            _print_preview(report, zone, language)


def _print_preview(report: object, zone: ZoneInfo, language: str) -> None:
    try:
        from backend.cli.rules.printed_preview import print_report
        from backend.rulebook.preview.report import PreviewReport
    except ImportError:  # the approver's machine has not installed what authors use
        click.echo(json.dumps(report, ensure_ascii=False, indent=2))
        return
    preview = msgspec.convert(report, PreviewReport)
    if preview.as_of is not None and preview.at > preview.as_of + _MADE_WITHIN:
        click.echo(_AHEAD.format(at=date_text(preview.at, zone, with_year=True)).in_language(language))
    print_report(preview, zone, language)
