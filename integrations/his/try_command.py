"""`chengma his try`: run a hospital's first visit against a running city, and print it as a script with its answers."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from backend.city.person import document_of, known_person
from backend.cli.errors import load_settings
from backend.cli.in_city import run_in_city
from backend.services.medical_credit.demo import INVENTED
from backend.services.medical_credit.model.enrolment import Enrolment
from backend.services.medical_credit.model.hospital import Hospital
from integrations.his.first_visit import BEGIN, END, Connection, Step, first_visit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backend.city.service import City

_MARK = "@@@ end of step"
_TIMEOUT_SECONDS = 120


@click.command("try")
@click.argument("hospital")
@click.option("--fhir", help="Base URL of the FHIR server; by default that of the settings.")
@click.option("--mllp", help="HOST:PORT of the MLLP listener; by default that of the settings.")
@click.option("--key", help="File with the hospital's private key (JWK); by default that of the demonstration.")
@click.option("--patient", help="ID number of a test patient; by default an invented one who agreed to pay later.")
@click.option("--no-run", is_flag=True, help="Print the script without running it, so without answers.")
def try_(hospital: str, fhir: str | None, mllp: str | None, key: str | None, patient: str | None, no_run: bool) -> None:
    """Run a first visit of HOSPITAL against a running city, and print each step and its answer.

    The output is a shell script, with the answers as comments: pasted into a shell, it runs another visit. The title of
    each step is printed on stderr meanwhile.
    """
    settings = load_settings()
    connection = Connection(
        hospital=hospital,
        fhir=fhir or settings.fhir_url or f"http://{settings.host}:{settings.port}/fhir",
        mllp=mllp or f"{settings.mllp_host}:{settings.mllp_port}",
        key=key or str(Path(settings.keys).parent / f"hospital-{hospital}.jwk.json"),
        patient=run_in_city(lambda city: _test_patient(city, hospital, patient)),
        chengma=f"{shlex.quote(sys.executable)} -m backend",
    )
    if not Path(connection.key).exists():
        raise click.ClickException(f"there is no key in {connection.key}; name the hospital's private key with --key")
    steps = first_visit(connection)
    if no_run:
        _print(steps, [])
        return
    _check_servers(connection)
    answers, failed = _run(steps)
    _print(steps[: len(answers)], answers)
    if failed:
        raise click.ClickException(f"this step failed: {steps[len(answers) - 1].title}")


async def _test_patient(city: City, hospital: str, patient: str | None) -> str:
    """Return the ID number of a patient with whom a hospital that is connected may try a visit."""
    known = await city.store.get(Hospital, hospital)
    if known is None or not known.enabled:
        raise click.ClickException(
            f"hospital {hospital} is not connected; `chengma his hospitals list` lists hospitals"
        )
    if patient is not None:
        return patient
    async for enrolment in city.store.scan(Enrolment):
        if enrolment.closed_at is None and enrolment.allows(hospital):
            number = document_of(city.encryption, await known_person(city.store, enrolment.id)).number
            if number.startswith(INVENTED):
                return number
    raise click.ClickException("no invented patient agreed to pay later; name a test patient with --patient")


def _check_servers(connection: Connection) -> None:
    """Raise ClickException unless the FHIR server and the MLLP listener accept connections."""
    fhir, (host, _, port) = urlsplit(connection.fhir), connection.mllp.rpartition(":")
    if fhir.hostname is None or not port.isdecimal():
        raise click.UsageError("--fhir must be a URL, and --mllp HOST:PORT")
    default = 443 if fhir.scheme == "https" else 80
    for name, address, command in (
        ("FHIR server", (fhir.hostname, fhir.port or default), "make run"),
        ("MLLP listener", (host, int(port)), "chengma his listen"),
    ):
        try:
            socket.create_connection(address, timeout=5).close()
        except OSError as error:
            where = f"{address[0]}:{address[1]}"
            raise click.ClickException(f"no {name} answers at {where}; `{command}` starts it") from error


def _run(steps: Sequence[Step]) -> tuple[list[str], bool]:
    """Run the steps in one shell up to the first that fails; return their outputs, and whether the last failed.

    The title of each step is printed on stderr as it begins.
    """
    marked = (f"echo {shlex.quote(step.title)} >&3\n{step.script()}echo '{_MARK}'\n" for step in steps)
    script = "exec 3>&2 2>&1\n" + BEGIN + "".join(marked) + END
    try:
        done = subprocess.run(  # noqa: S603  the script is ours
            ["bash", "-c", script],  # noqa: S607  the reader's own shell
            stdout=subprocess.PIPE,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise click.ClickException(f"the steps could not be run: {error}") from error
    answers, failed = done.stdout.split(f"{_MARK}\n"), done.returncode != 0
    return (answers if failed else answers[:-1]), failed


def _print(steps: Sequence[Step], answers: Sequence[str]) -> None:
    click.echo(BEGIN)
    for number, step in enumerate(steps):
        click.echo(step.script(), nl=False)
        for line in answers[number].splitlines() if answers else ():
            click.echo(f"#   {line}".rstrip())
        click.echo()
    click.echo(END, nl=False)
