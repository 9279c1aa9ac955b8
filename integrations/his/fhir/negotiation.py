"""What the headers of a FHIR request ask for: media types and FHIR versions, preferences, and compressed bodies."""

import re
import zlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import cast
from urllib.parse import parse_qsl

import msgspec

from backend.i18n import Text
from backend.problems import BodyTooLarge, FieldError, UnsupportedMediaType
from backend.web.json_body import find_repeated_key
from integrations.his.fhir.operation_outcome import FHIR_JSON, InvalidResource, NotAcceptable
from integrations.his.fhir.representation import Json
from integrations.his.fhir.smart import FORM, AnyRequest

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
"""Decodes amounts from their text as Decimal; they never become binary floating point."""

_JSON_TYPES = ("application/fhir+json", "application/json", "application/json+fhir", "text/json", "json")
_ANY_TYPES = ("*/*", "application/*")
_FHIR_VERSIONS = ("4.0", "4.0.1")
_CHARSETS = ("utf-8", "utf8", "us-ascii")
_GZIP = 16 + zlib.MAX_WBITS


def header(request: AnyRequest, name: bytes) -> str | None:
    """Return a header, or None. Headers that are repeated are joined, as RFC 9110 has it."""
    values = [value.decode("latin-1") for known, value in request.scope["headers"] if known == name]
    return ", ".join(values) if values else None


def query_parameters(request: AnyRequest) -> tuple[tuple[str, str], ...]:
    """Return the parameters in the URL, in their order."""
    raw = request.scope["query_string"]
    return tuple(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else ()


# ── preferences ──


def parse_prefer(prefer: str) -> Mapping[str, str]:
    """Return the preferences of a `Prefer` header (RFC 7240)."""
    pairs = (part.partition("=") for part in prefer.replace(";", ",").split(","))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def is_strict(request: AnyRequest) -> bool:
    """Return whether the client prefers an error to a parameter that is ignored."""
    return parse_prefer(header(request, b"prefer") or "").get("handling") == "strict"


# ── media types ──


def check_accept(request: AnyRequest) -> None:
    """Raise NotAcceptable unless the client accepts R4 as JSON; `_format` takes precedence over `Accept`."""
    accepted = dict(query_parameters(request)).get("_format") or header(request, b"accept") or "*/*"
    if not _accepts(accepted):
        en = f"Only {FHIR_JSON} of FHIR R4 (fhirVersion=4.0) is supported."
        raise NotAcceptable(Text(zh="仅支持FHIR R4的JSON格式，请修改Accept或_format。", en=en))


@lru_cache(maxsize=64)
def _accepts(accepted: str) -> bool:
    return any(
        name in (*_JSON_TYPES, *_ANY_TYPES) and _is_r4(parameters) and not re.fullmatch(r"0(\.0*)?", parameters["q"])
        for name, parameters in _media_types(accepted)
    )


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    (name, parameters), *others = _media_types(content_type)
    is_text = parameters.get("charset", "utf-8") in _CHARSETS
    return not others and name in _JSON_TYPES and _is_r4(parameters) and is_text


def _media_types(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Iterate over media types and their parameters, with `q`; in a URL a plus sign may have become a space."""
    for part in text.lower().split(","):
        name, *parameters = (step.strip() for step in part.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        yield name.replace(" ", "+"), {"q": "1"} | {key.strip(): value.strip().strip('"') for key, _, value in pairs}


def _is_r4(parameters: Mapping[str, str]) -> bool:
    return parameters.get("fhirversion", "4.0") in _FHIR_VERSIONS


# ── bodies ──


async def read_form(request: AnyRequest, max_bytes: int) -> tuple[tuple[str, str], ...]:
    """Return the parameters of a search in a body. Raises UnsupportedMediaType, BodyTooLarge or InvalidResource."""
    if request.content_type[0].lower() not in (FORM, ""):
        raise UnsupportedMediaType(Text(zh=f"请以{FORM}提交查询。", en=f"A search must be sent as {FORM}."))
    body = await _read(request, max_bytes)
    try:
        return tuple(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError as error:
        raise _invalid_body("The body is not a valid form.") from error


async def read_resource_body(request: AnyRequest, max_bytes: int) -> Json:
    """Return the resource in the body. Raises UnsupportedMediaType, BodyTooLarge or InvalidResource."""
    if not _is_json(header(request, b"content-type") or ""):
        en = f"The body must be sent as {FHIR_JSON} of FHIR R4 (fhirVersion=4.0) in UTF-8."
        raise UnsupportedMediaType(Text(zh=f"请以{FHIR_JSON}（FHIR R4，UTF-8）提交请求体。", en=en))
    raw = await _read(request, max_bytes)
    try:
        body: object = _decode(raw)
        repeated = find_repeated_key(raw)
    except RecursionError:
        raise _invalid_body("The body is nested too deeply.") from None
    except (ValueError, ArithmeticError) as error:
        raise _invalid_body(f"The body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise _invalid_body("The body must be a resource.")
    resource = cast("Json", body)
    if repeated is not None:
        raise _repeated_key(repeated, resource)
    return resource


async def _read(request: AnyRequest, max_bytes: int) -> bytes:
    """Return the body, unpacked to at most `max_bytes`: a few bytes could unpack to gigabytes."""
    raw = await request.body()
    coding = (header(request, b"content-encoding") or "identity").strip().lower()
    if coding == "identity":
        return raw
    if coding not in ("gzip", "x-gzip"):
        text = Text(zh="请求体只能用gzip压缩，或不压缩。", en="A body may be compressed with gzip only.")
        raise UnsupportedMediaType(text, headers={"Accept-Encoding": "gzip"})
    unpacker = zlib.decompressobj(_GZIP)
    try:
        content = unpacker.decompress(raw, max_bytes + 1)
    except zlib.error as error:
        raise _invalid_body("The body is not valid gzip.") from error
    if len(content) > max_bytes:
        en = f"The body is too large: more than {max_bytes:,} bytes when unpacked."
        raise BodyTooLarge(Text(zh="提交的内容过大，请减少后重试。", en=en))
    if not unpacker.eof or unpacker.unused_data:
        raise _invalid_body("The body must be one complete gzip stream.")
    return content


def _repeated_key(pointer: str, resource: Json) -> InvalidResource:
    """Return the Problem for a key that the body repeats, with its FHIRPath."""
    path = re.sub(r"/(\d+)(?=/)", r"[\1]", pointer).replace("/", ".")
    return InvalidResource(
        Text(zh=f"请求体中{pointer}重复，请只保留一项。", en=f"The body repeats the key {pointer}."),
        errors=(
            FieldError(f"{resource.get('resourceType', 'Resource')}{path}", f"The body repeats the key {pointer}."),
        ),
    )


def _invalid_body(detail: str) -> InvalidResource:
    return InvalidResource(Text(zh="请求体不是有效的JSON资源，请核对。", en=detail), errors=(FieldError("", detail),))
