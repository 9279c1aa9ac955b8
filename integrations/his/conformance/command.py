"""`chengma his conformance`: run the conformance checks against a hospital's test system, or against ours."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from rich.console import Console
from rich.table import Table

from integrations.his.conformance.checks import Report, Result, as_json, as_markdown, summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integrations.his.hl7v2.syntax import Encoding


class _CommandWithChecks(click.Command):
    """A command whose help lists the checks; they are imported only for it, because they would delay every command."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        for interface, names in _checks(mllp=True, fhir=True).items():
            with formatter.section(f"Checks of --{interface}"):
                formatter.write_dl(list(names.items()))


@click.command("conformance", cls=_CommandWithChecks)
@click.option("--fhir", help="Base URL of a FHIR server, such as http://127.0.0.1:8000/fhir")
@click.option("--mllp", help="HOST:PORT of an MLLP listener.")
@click.option("--hospital", required=True, help="The hospital code to send as.")
@click.option(
    "--patient",
    required=True,
    envvar="KIT_PATIENT",
    help="Resident ID number of a test patient who may pay later (or set KIT_PATIENT).",
)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the private key (JWK) for the FHIR token request.",
)
@click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    type=click.Choice(["utf-8", "gb18030"]),
    help="Encoding of the HL7 v2 messages.",
)
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="File for the report, .md or .json")
@click.option("--only", multiple=True, help="Name of a check to run, from the list below; may be repeated.")
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
    """Test a system with valid and invalid messages of every kind, and print the results.

    Creates visits of the test patient and cancels them at the end. Exits with 1 if a mandatory check fails, and with 2
    if no check could be run, also because --only names one that the interface does not have.
    """
    if not fhir and not mllp:
        raise click.UsageError("--fhir, --mllp or both are required")
    _check_names(only, _checks(mllp=bool(mllp), fhir=bool(fhir)))
    results: list[Result] = []
    if mllp:
        results.extend(_check_mllp(mllp, hospital, patient, encoding, only))
    if fhir:
        results.extend(_check_fhir(fhir, hospital, patient, key, only))
    run = Report(" and ".join(filter(None, (mllp, fhir))), datetime.now(UTC), tuple(results))
    _print(run)
    if report is not None:
        content = as_json(run) if report.suffix == ".json" else as_markdown(run).encode()
        report.write_bytes(content)
        click.echo(f"Report written to {report}.")
    if run.failed:
        raise click.exceptions.Exit(1)


def _checks(*, mllp: bool, fhir: bool) -> dict[str, dict[str, str]]:
    """Return the names and descriptions of the checks of each interface that is tested."""
    found: dict[str, dict[str, str]] = {}
    if mllp:
        from integrations.his.conformance.mllp_checks import CHECKS as MLLP_CHECKS

        found["mllp"] = MLLP_CHECKS.names()
    if fhir:
        from integrations.his.conformance.fhir_checks import CHECKS as FHIR_CHECKS

        found["fhir"] = FHIR_CHECKS.names()
    return found


def _check_names(only: Sequence[str], checks: Mapping[str, Mapping[str, str]]) -> None:
    """Raise UsageError for a name that no check of the tested interfaces has."""
    known = [name for names in checks.values() for name in names]
    unknown = [name for name in only if name not in known]
    if unknown:
        listed = "\n".join(f"  {name}" for name in known)
        interfaces = " and ".join(f"--{name}" for name in checks)
        raise click.UsageError(f"{interfaces} has no check {', '.join(unknown)}; the checks are:\n{listed}")


def _check_mllp(target: str, hospital: str, patient: str, encoding: Encoding, only: Sequence[str]) -> list[Result]:
    from integrations.his.conformance.mllp_checks import CHECKS, MllpTester

    host, port = mllp_address(target)
    return asyncio.run(CHECKS.run(MllpTester(host, port, hospital, patient, encoding), only))


def mllp_address(text: str) -> tuple[str, int]:
    """Return the host and the port of the option `--mllp`. Raises UsageError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise click.UsageError("--mllp must be HOST:PORT")
    return host, int(port)


def _check_fhir(target: str, hospital: str, patient: str, key: Path | None, only: Sequence[str]) -> list[Result]:
    from integrations.his.conformance.fhir_checks import CHECKS, FhirTester

    if key is None:
        raise click.UsageError("--fhir requires --key")
    if not target.startswith(("http://", "https://")):
        raise click.UsageError("--fhir must begin with http:// or https://")
    try:
        private = json.loads(key.read_bytes())
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{key} is not a JSON Web Key: {error}") from error
    if not isinstance(private, dict) or "kty" not in private:
        raise click.UsageError(f"{key} is not a JSON Web Key")
    return asyncio.run(CHECKS.run(FhirTester(target, hospital, patient, cast("dict[str, Any]", private)), only))


def _print(report: Report) -> None:
    table = Table("interface", "check", "passed", "expected", "actual")
    for one in report.results:
        mark = "yes" if one.passed else ("NO" if one.severity == "must" else "no")
        table.add_row(one.interface, one.description, mark, one.expected, one.actual)
    Console(width=160).print(table)
    click.echo(summary(report))
