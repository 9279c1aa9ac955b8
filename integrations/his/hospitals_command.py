"""`chengma his hospitals`: connect hospitals, change their settings, and disconnect them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from backend.city.audit_log import city_act, with_act
from backend.cli.in_city import run_in_city
from backend.services.medical_credit.model.hospital import INSTITUTION_LENGTH, Hospital
from backend.store import Order
from backend.store.time import to_ms
from integrations.his.message_settings import MESSAGE_SETTINGS, with_codes
from integrations.his.public_keys import PrivateKey, UnusableKey, parse_key_file, registered_keys, signing_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from backend.city.service import City

_NO_KEYS: dict[str, Any] = {"keys": []}


@click.group()
def hospitals() -> None:
    """Connect and disconnect hospitals, and change their settings."""


# ── settings ──


def _key_set(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> dict[str, Any] | None:
    """Return the public keys in a file. Raises ClickException, which names the faulty key."""
    if path is None:
        return None
    try:
        keys = parse_key_file(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{path} is not a JSON Web Key Set: {error}") from error
    for number, key in enumerate(keys, 1):
        try:
            signing_key(key)
        except PrivateKey as error:
            raise click.ClickException(f"{path} contains a private key: key {number} {error}") from error
        except UnusableKey as error:
            raise click.ClickException(f"{path}: key {number} ({key.get('kid', 'without kid')}) {error}") from error
    if len({key["kid"] for key in keys}) < len(keys):
        raise click.ClickException(f"{path}: two keys have the same kid")
    return {"keys": keys}


def _key_set_url(_context: click.Context, _parameter: click.Parameter, url: str | None) -> str | None:
    """Return a URL that may be fetched."""
    from integrations.his.fhir.remote_keys import InvalidUrl, check_url  # its HTTP client would delay every command

    try:
        return url if not url else check_url(url).geturl()
    except InvalidUrl as error:
        raise click.ClickException(str(error)) from error


def _institution(_context: click.Context, _parameter: click.Parameter, code: str | None) -> str | None:
    """Return the code of an institution. Raises ClickException."""
    if code and not re.fullmatch(rf"[0-9A-Za-z]{{{INSTITUTION_LENGTH}}}", code):
        raise click.ClickException(f"a code at the insurance has {INSTITUTION_LENGTH} letters and digits")
    return code


_SETTINGS = (
    click.option(
        "--jwks",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        callback=_key_set,
        help="File with its public keys (JWK Set), or with one (JWK), for FHIR.",
    ),
    click.option("--jwks-url", callback=_key_set_url, help="URL at which it publishes its public keys for FHIR."),
    click.option(
        "--encoding",
        type=click.Choice(["utf-8", "gb18030"]),
        help="Encoding of messages without MSH-18.  [default: utf-8]",
    ),
    click.option(
        "--acknowledgement",
        type=click.Choice(["by_message", "original", "enhanced"]),
        help="Acknowledgement mode: by MSH-15 and MSH-16 of each message, or one mode for all.  [default: by_message]",
    ),
    click.option("--certificate", help="Common name in the certificate of its MLLP client; required under TLS."),
    click.option(
        "--settles",
        type=click.Choice(["city", "hospital"]),
        help="Who settles its visits at the insurance: the city, or the hospital, which reports it.  [default: city]",
    ),
    click.option(
        "--institution", callback=_institution, help="Its code at the insurance (fixmedins_code), twelve characters."
    ),
    click.option(
        "--own-system",
        "own_systems",
        multiple=True,
        help="Identifier system whose numbers are the same as numbers without a system; may be repeated.",
    ),
    *MESSAGE_SETTINGS,
)
"""The options of `add` and `set`. Each is named like its field of Hospital; one that is not given is None or empty."""


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of Hospital that options set; an empty text removes a value, and keys replace their URL."""
    fields = {name: None if value == "" else value for name, value in options.items() if value not in (None, ())}
    if fields.get("own_systems") == ("",):
        fields["own_systems"] = ()
    if fields.get("jwks") and fields.get("jwks_url"):
        raise click.UsageError("give either --jwks or --jwks-url")
    if fields.get("jwks"):
        fields["jwks_url"] = None
    elif fields.get("jwks_url"):
        fields["jwks"] = _NO_KEYS
    return fields


# ── commands ──


@hospitals.command("add")
@click.argument("code")
@click.argument("name")
@_with_settings
def add(code: str, name: str, **options: Any) -> None:  # noqa: ANN401  click's options
    """Connect a new hospital, whose CODE is its MSH-4 and its FHIR client id."""
    fields: dict[str, Any] = {"jwks": _NO_KEYS, "people_without_credit": "ignore", **_given(options)}
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", code):
        raise click.ClickException("a hospital code has at most 64 characters: letters, digits, `.`, `_` and `-`")

    async def work(city: City) -> Hospital:
        if await city.store.get(Hospital, code) is not None:
            raise click.ClickException(
                f"{code} is already connected; `chengma his hospitals set {code}` changes its settings"
            )
        hospital = Hospital(id=code, name=name, since_ms=to_ms(city.now()), **with_codes(None, fields))
        return await city.store.insert(with_act(hospital, city_act(f"{_ACT}_connected", code, city.now())))

    _report(run_in_city(work), f"{code} {name} is connected.")


@hospitals.command("set")
@click.argument("code")
@click.option("--name", help="Its name.")
@_with_settings
def set_(code: str, **options: Any) -> None:  # noqa: ANN401  click's options
    """Change the settings of a hospital that are given; all others stay. An empty text removes a value."""
    fields = _given(options)
    if not fields:
        raise click.UsageError("give at least one setting to change")
    _report(_change(code, "changed", fields), f"{code} is updated.")


@hospitals.command("enable")
@click.argument("code")
def enable(code: str) -> None:
    """Connect a hospital again that was disconnected, with its settings."""
    _change(code, "connected", {"enabled": True})
    click.echo(f"{code} is connected.")


@hospitals.command("disable")
@click.argument("code")
def disable(code: str) -> None:
    """Disconnect a hospital at once; its visits and settings are kept. `enable` connects it again."""
    _change(code, "disconnected", {"enabled": False})
    click.echo(f"{code} is disconnected.")


@hospitals.command("list")
def list_hospitals() -> None:
    """List all hospitals with their connection settings."""

    async def read(city: City) -> list[Hospital]:
        return (await city.store.find(Hospital, {}, order=Order("since_ms"), limit=1_000)).documents

    for one in run_in_city(read):
        state = "" if one.enabled else "  disconnected"
        modes = f"{one.encoding:10}{one.acknowledgement:12}{one.refuse_with:10}"
        click.echo(f"{one.id:12}{modes}{one.certificate or '-':20}{one.name}{state}")


_ACT = "medical_credit.hospital"


def _change(code: str, act: str, fields: dict[str, Any]) -> Hospital:
    """Change fields of a hospital and record the act; nothing is recorded if they are so already."""

    async def work(city: City) -> Hospital:
        known = await city.store.get(Hospital, code)
        if known is None:
            raise click.ClickException(f"hospital {code} not found; `chengma his hospitals list` lists hospitals")
        changed = replace(known, **with_codes(known, fields))
        if changed == known:
            return known
        return await city.store.replace(with_act(changed, city_act(f"{_ACT}_{act}", code, city.now())))

    return run_in_city(work)


def _report(hospital: Hospital, done: str) -> None:
    """Print what was done, and the names of the keys that may sign the hospital's assertions."""
    click.echo(done)
    names = [str(key["kid"]) for key in registered_keys(hospital.jwks) if key.get("kid")]
    if hospital.jwks_url:
        names = _published(hospital.jwks_url)
    if names:
        click.echo(f"Its assertions name one of these keys in kid: {', '.join(names)}.")


def _published(url: str) -> list[str]:
    """Return the names of the keys at a URL; print a warning if it cannot be read now."""
    from integrations.his.fhir.remote_keys import KeysUnavailable, fetch_keys

    try:
        return [str(key["kid"]) for key in asyncio.run(fetch_keys(url)) if key.get("kid")]
    except KeysUnavailable as error:
        click.echo(f"Warning: the keys at {url} cannot be fetched from this machine: {error}.", err=True)
        return []
