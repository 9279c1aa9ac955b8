"""Options of `chengma his hospitals` for HL7 v2 messages: what is ignored, and a hospital's own codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import click

from backend.city.id_number import DocumentKind
from backend.services.medical_credit.facts import VisitKind
from backend.services.medical_credit.model.hospital import RefusalPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backend.services.medical_credit.model.hospital import Hospital

_MAX_CODE = 20
_HANDLING = click.Choice(["ignore", "refuse"])


def _codes(_context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str] | None:
    """Return the meaning of each code, as in `X=outpatient`; an empty meaning removes the code."""
    meanings: tuple[str, ...] = get_args(VisitKind if parameter.name == "visit_classes" else DocumentKind)
    found: dict[str, str] = {}
    for pair in pairs:
        code, separator, meaning = pair.partition("=")
        if not separator or not 1 <= len(code) <= _MAX_CODE or not code.isprintable() or set(code) & set("|^~\\& "):
            raise click.BadParameter(f"{pair!r}: write CODE=MEANING, such as X={meanings[0]}")
        if meaning and meaning not in meanings:
            raise click.BadParameter(f"{pair!r}: the meaning is one of {', '.join(meanings)}, or empty to remove it")
        found[code] = meaning
    return found or None


MESSAGE_SETTINGS = (
    click.option(
        "--refuse-with",
        type=click.Choice(get_args(RefusalPolicy)),
        help="Code of refused messages: AR if never, AE if later (by_cause), the other way round (reversed), or one "
        "code. [default: by_cause]",
    ),
    click.option(
        "--people-without-credit",
        type=_HANDLING,
        help="HL7 v2 messages about people who may not pay later: accept and ignore them, or refuse them. "
        "[default: ignore]",
    ),
    click.option(
        "--unused-events",
        type=_HANDLING,
        help="HL7 v2 events that change no visit, such as ADT^A31: accept and ignore them, or refuse them. "
        "[default: ignore]",
    ),
    click.option(
        "--class",
        "visit_classes",
        multiple=True,
        callback=_codes,
        metavar="CODE=KIND",
        help=f"Meaning of a class of its own in PV1-2: {', '.join(get_args(VisitKind))}. Can be repeated.",
    ),
    click.option(
        "--identifier-type",
        "identifier_types",
        multiple=True,
        callback=_codes,
        metavar="CODE=KIND",
        help=f"Meaning of an identifier type of its own in CX-5: {', '.join(get_args(DocumentKind))}. Can be repeated.",
    ),
)
"""Each is named like its field of Hospital."""


def with_codes(known: Hospital | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields to set: codes that are given are added to the known ones, or removed."""
    merged = dict(fields)
    for name in ("visit_classes", "identifier_types"):
        if name in merged:
            before: dict[str, str] = getattr(known, name) if known is not None else {}
            merged[name] = {code: meaning for code, meaning in {**before, **merged[name]}.items() if meaning}
    return merged
