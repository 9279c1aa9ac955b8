"""`chengma his conformance`: our kit against a hospital's test system, or against ourselves."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from rich.console import Console
from rich.table import Table

from integrations.his.conformance.kit import Report, Result, as_json, as_markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integrations.his.hl7v2.message import Encoding


@click.command("conformance")
@click.option("--fhir", help="The address of a FHIR server, such as http://127.0.0.1:8000/fhir")
@click.option("--mllp", help="HOST:PORT of an MLLP listener.")
@click.option("--hospital", required=True, help="The hospital's code, as which to speak.")
@click.option(
    "--patient",
    required=True,
    envvar="KIT_PATIENT",
    help="The resident ID number of a test patient who may pay later (or KIT_PATIENT).",
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The private key (JWK) with which to sign in to FHIR.",
)
@click.option("--encoding", default="utf-8", show_default=True, type=click.Choice(["utf-8", "gb18030"]))
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Where to write it: .md or .json")
@click.option("--only", multiple=True, help="The name of a check; may be given several times.")
def conformance(
    fhir: str | None,
    mllp: str | None,
    hospital: str,
    patient: str,
    key: Path | None,
    encoding: Encoding,
    report: Path | None,
    only: Sequence[str],
) -> None:
    """Try a system with every kind of message, right and wrong, and print what holds.

    Visits are made for the test patient, and cancelled at the end. Exits with 1 where a check that must hold does not,
    and with 2 where nothing could be tried.
    """
    if not fhir and not mllp:
        raise click.UsageError("give --fhir, --mllp, or both")
    results: list[Result] = []
    if mllp:
        results.extend(_try_mllp(mllp, hospital, patient, encoding, only))
    if fhir:
        results.extend(_try_fhir(fhir, hospital, patient, key, only))
    made = Report(" and ".join(filter(None, (mllp, fhir))), datetime.now(UTC), tuple(results))
    _print(made)
    if report is not None:
        written = as_json(made) if report.suffix == ".json" else as_markdown(made).encode()
        report.write_bytes(written)
        click.echo(f"The report is in {report}.")
    if made.failed:
        raise click.exceptions.Exit(1)


def _try_mllp(target: str, hospital: str, patient: str, encoding: Encoding, only: Sequence[str]) -> list[Result]:
    from integrations.his.conformance.mllp import KIT, MllpBench

    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal():
        raise click.UsageError("--mllp is HOST:PORT")
    return asyncio.run(KIT.run(MllpBench(host, int(port), hospital, patient, encoding), only))


def _try_fhir(target: str, hospital: str, patient: str, key: Path | None, only: Sequence[str]) -> list[Result]:
    from integrations.his.conformance.fhir import KIT, FhirBench

    if key is None:
        raise click.UsageError("--fhir needs --key, to sign in")
    if not target.startswith(("http://", "https://")):
        raise click.UsageError("--fhir begins with http:// or https://")
    try:
        private = json.loads(key.read_bytes())
    except ValueError as error:
        raise click.UsageError(f"{key} is no JSON Web Key: {error}") from error
    if not isinstance(private, dict) or "kty" not in private:
        raise click.UsageError(f"{key} is no JSON Web Key")
    return asyncio.run(KIT.run(FhirBench(target, hospital, patient, cast("dict[str, Any]", private)), only))


def _print(made: Report) -> None:
    table = Table("door", "check", "holds", "expected", "came")
    for one in made.results:
        mark = "yes" if one.holds else ("NO" if one.severity == "must" else "no")
        table.add_row(one.door, one.sentence, mark, one.expected, one.came)
    Console(width=160).print(table)
    held = sum(one.holds for one in made.results)
    click.echo(f"{held} of {len(made.results)} checks hold; {len(made.failed)} that must hold do not.")
