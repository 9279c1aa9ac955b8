"""`chengma his send` and `his assertion`: send one HL7 v2 message, and sign one token request, as a hospital does."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, cast

import click
import jwt

from integrations.his.hl7v2.mllp_client import MllpClient


@click.command("send")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mllp", required=True, help="HOST:PORT of the MLLP listener.")
@click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    type=click.Choice(["utf-8", "gb18030"]),
    help="Encoding in which the message is sent.",
)
def send(file: Path | None, mllp: str, encoding: str) -> None:
    """Send the HL7 v2 message in FILE, or on standard input, and print the answer.

    Each line of the text is a segment. Exits with 1 unless the answer is AA or CA.
    """
    host, _, port = mllp.rpartition(":")
    if not host or not port.isdecimal():
        raise click.UsageError("--mllp must be HOST:PORT")
    text = file.read_text("utf-8") if file is not None else sys.stdin.read()
    message = "\r".join(text.strip().splitlines()) + "\r"
    try:
        answer = asyncio.run(_exchange(host, int(port), message.encode(encoding))).decode(encoding)
    except (OSError, TimeoutError) as error:
        raise click.ClickException(f"no answer from {mllp}: {error or 'it took too long'}") from error
    click.echo(answer.replace("\r", "\n").rstrip())
    if "\rMSA|AA" not in answer and "\rMSA|CA" not in answer:
        raise click.exceptions.Exit(1)


async def _exchange(host: str, port: int, message: bytes) -> bytes:
    async with MllpClient(host, port) as client:
        await client.send(message)
        return await client.receive()


@click.command("assertion")
@click.argument("hospital")
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the hospital's private key (JWK).",
)
@click.option("--fhir", required=True, help="Base URL of the FHIR server, such as http://127.0.0.1:8000/fhir")
def assertion(hospital: str, key: Path, fhir: str) -> None:
    """Print a client assertion of HOSPITAL: a signed JWT for one token request, valid for four minutes."""
    from integrations.his.conformance.fhir_checks import FhirTester

    try:
        private = cast("dict[str, Any]", json.loads(key.read_bytes()))
        signed = FhirTester(fhir, hospital, "", private).assertion()
    except (ValueError, KeyError, TypeError, RecursionError, jwt.PyJWTError) as error:
        raise click.ClickException(f"{key} is not a private JSON Web Key") from error
    click.echo(signed)
