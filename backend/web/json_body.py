"""JSON bodies that are read strictly: a key that an object repeats is an error, as is any other mismatch.

The decoder of msgspec silently takes the last of repeated keys, and other readers of the same body, such as a gateway
that checks amounts, may take the first.
"""

import json
import re
from collections.abc import Sequence
from typing import TypeVar, cast

import msgspec

from backend.i18n import Text
from backend.problems import FieldError, InvalidRequest

T = TypeVar("T")
_Pairs = list[tuple[str, object]]


def decode_body(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Return a decoded JSON body. Raises InvalidRequest with the JSON pointers of its errors."""
    try:
        decoded = decoder.decode(body)
        repeated = find_repeated_key(body)
    except msgspec.ValidationError as error:
        raise invalid([field_error(str(error))]) from error
    except (ValueError, RecursionError) as error:
        raise invalid([FieldError("", f"The body is not JSON: {error}")]) from error
    if repeated is not None:
        raise invalid([FieldError(repeated, "The key is repeated.", "此项重复，请只保留一项。")])
    return decoded


def invalid(errors: Sequence[FieldError]) -> InvalidRequest:
    """Return the Problem for a request that does not match the OpenAPI document."""
    return InvalidRequest(
        Text(zh="提交的内容有误，请核对后重试。", en="The request is invalid; please check it and try again."),
        errors=tuple(errors),
    )


# ── Repeated keys ──


class _KeyRepeatedError(Exception):
    pass


class _Object(_Pairs):
    """The members of a JSON object, with repeated keys; a plain list is a JSON array."""


def _unique(members: _Pairs) -> dict[str, object]:
    unique = dict(members)
    if len(unique) < len(members):
        raise _KeyRepeatedError
    return unique


# Numbers stay text: Python refuses to convert those with thousands of digits.
_decode_unique = json.JSONDecoder(object_pairs_hook=_unique, parse_int=str, parse_float=str).decode
_decode_all = json.JSONDecoder(object_pairs_hook=_Object, parse_int=str, parse_float=str).decode


def find_repeated_key(body: bytes) -> str | None:
    """Return the JSON pointer of the first key that an object repeats, or None. Raises ValueError or RecursionError.

    Keys are compared without their escapes. Takes 1.2 us for 45 bytes, 6.6 us for a FHIR charge of 373 bytes.
    """
    text = body.decode()
    try:
        _decode_unique(text)
    except _KeyRepeatedError:
        return "".join(f"/{escape_key(str(step))}" for step in _path_to_repeated_key(_decode_all(text)))
    return None


def _path_to_repeated_key(value: object) -> tuple[str | int, ...]:
    """Return the keys and indexes that lead to the first repeated key; empty if there is none."""
    if not isinstance(value, list):
        return ()
    members = value if isinstance(value, _Object) else enumerate(cast("list[object]", value))
    seen = set[str | int]()
    for key, member in members:
        if key in seen:
            return (key,)
        seen.add(key)
        path = _path_to_repeated_key(member)
        if path:
            return (key, *path)
    return ()


# ── JSON pointers ──

_PLACE = re.compile(r"^(?P<detail>.*?)(?: - at `(?P<key>key in )?\$(?P<path>.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"(?:missing required|unknown) field `(?P<name>.*)`$", re.DOTALL)


def field_error(message: str) -> FieldError:
    """Convert msgspec's message, such as "Expected `int`, got `str` - at `$.x[1].n`", to detail and JSON pointer."""
    match = _PLACE.match(message)
    assert match, "every part of the pattern may be empty"
    steps = re.findall(r"[^.\[\]]+", match["path"] or "")
    if named := _NAMED.search(match["detail"]):
        steps.append(named["name"])
    return FieldError("".join(f"/{escape_key(step)}" for step in steps), match["detail"])


def escape_key(key: str) -> str:
    """Return a key as a step of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")
