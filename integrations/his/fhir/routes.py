"""The routes of the FHIR R4 interface for hospital information systems, and their HTTP details."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from email.utils import format_datetime
from functools import lru_cache
from typing import cast
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Response, get, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from backend.city.service import City
from backend.i18n import Text, preferred_language
from backend.operations.access_log import REQUEST_ID
from backend.problems import FieldError, UnsupportedMediaType
from backend.security.identity import public, role_guard
from backend.settings import Settings
from backend.web.json_body import find_repeated_key
from integrations.his.fhir.bundle import ResponseOptions, process_bundle
from integrations.his.fhir.capability_statement import INTERACTIONS, capability_statement, smart_configuration
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.interactions import Interaction, InteractionResult, perform
from integrations.his.fhir.operation_outcome import FHIR_JSON, InvalidResource, NotAcceptable, success_outcome
from integrations.his.fhir.representation import Json, encode, etag
from integrations.his.fhir.smart import FORM, AnyRequest, issue_token, request_context

hospital = role_guard("hospital")

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
"""Decodes amounts from their text as Decimal; they never become binary floating point."""

_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_JSON_TYPES = ("application/fhir+json", "application/json", "application/json+fhir", "text/json", "json")
_ANY_TYPES = ("*/*", "application/*")


def fhir_routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    """Return the routes below `/fhir`. The CapabilityStatement describes them, not the OpenAPI document."""
    routes: list[ControllerRouterHandler] = [*_public_routes(settings), _bundle_route(settings)]
    for resource_type, permissions in INTERACTIONS.items():
        routes.extend(_resource_routes(resource_type, permissions, settings))
    return routes


def base_url(request: AnyRequest, settings: Settings) -> str:
    """Return the base URL of the FHIR interface, from the settings or else from the request."""
    if settings.fhir_url:
        return settings.fhir_url
    host = _header(request, b"host") or ""
    return f"{request.scope['scheme']}://{host if _HOST.fullmatch(host) else 'localhost'}/fhir"


def _public_routes(settings: Settings) -> list[HTTPRouteHandler]:
    @get("/fhir/metadata", guards=[public], include_in_schema=False)
    async def read_capability_statement(
        request: Request[object, object, State], city: NamedDependency[City]
    ) -> Response[bytes]:
        _check_accept(request)
        statement = capability_statement(base_url(request, settings), city.today().isoformat())
        return Response(encode(statement), media_type=FHIR_JSON)

    @get("/fhir/.well-known/smart-configuration", guards=[public], include_in_schema=False)
    async def read_smart_configuration(request: Request[object, object, State]) -> Response[bytes]:
        return Response(encode(smart_configuration(base_url(request, settings))), media_type="application/json")

    @post("/fhir/token", guards=[public], include_in_schema=False)
    async def request_token(request: Request[object, object, State], city: NamedDependency[City]) -> Response[bytes]:
        return await issue_token(request, city, base_url(request, settings))

    return [read_capability_statement, read_smart_configuration, request_token]


def _bundle_route(settings: Settings) -> HTTPRouteHandler:
    @post("/fhir", guards=[hospital], include_in_schema=False)
    async def receive_bundle(request: Request[object, object, State]) -> Response[bytes]:
        _check_accept(request)
        context = await _context_of(request, settings)
        language = preferred_language(_header(request, b"accept-language") or "")
        request_id = cast("str", request.scope["state"][REQUEST_ID])
        return_preference = parse_prefer(_header(request, b"prefer") or "").get("return", "representation")
        body = await _read_body(request)
        options = ResponseOptions(return_preference, language, request_id)
        return Response(encode(await process_bundle(context, body, options)), status_code=200, media_type=FHIR_JSON)

    return receive_bundle


def _resource_routes(resource_type: str, permissions: str, settings: Settings) -> list[HTTPRouteHandler]:
    """Return the routes of one resource type."""

    @get(f"/fhir/{resource_type}", guards=[hospital], include_in_schema=False, name=f"fhir search {resource_type}")
    async def search(request: Request[object, object, State]) -> ASGIApp:
        _check_accept(request)
        interaction = Interaction(
            "GET", resource_type, parameters=_query_parameters(request), strict=_is_strict(request)
        )
        return _respond(request, await perform(await _context_of(request, settings), interaction))

    @post(
        f"/fhir/{resource_type}/_search",
        guards=[hospital],
        include_in_schema=False,
        name=f"fhir post search {resource_type}",
    )
    async def search_by_form(request: Request[object, object, State]) -> ASGIApp:
        _check_accept(request)
        parameters = (*_query_parameters(request), *await _form(request))
        interaction = Interaction("GET", resource_type, parameters=parameters, strict=_is_strict(request), in_body=True)
        return _respond(request, await perform(await _context_of(request, settings), interaction))

    @get(
        f"/fhir/{resource_type}/{{resource_id:str}}",
        guards=[hospital],
        include_in_schema=False,
        name=f"fhir read {resource_type}",
    )
    async def read(request: Request[object, object, State], resource_id: FromPath[str]) -> ASGIApp:
        _check_accept(request)
        interaction = Interaction("GET", resource_type, resource_id, if_none_match=_header(request, b"if-none-match"))
        return _respond(request, await perform(await _context_of(request, settings), interaction))

    return [search, search_by_form, read, *_write_routes(resource_type, permissions, settings)]


def _write_routes(resource_type: str, permissions: str, settings: Settings) -> list[HTTPRouteHandler]:
    """Return the routes that create and update resources of a type, as far as it has them."""

    @post(f"/fhir/{resource_type}", guards=[hospital], include_in_schema=False, name=f"fhir create {resource_type}")
    async def create(request: Request[object, object, State]) -> ASGIApp:
        _check_accept(request)
        context = await _context_of(request, settings)
        body = await _read_body(request)
        interaction = Interaction(
            "POST", resource_type, resource=body, if_none_exist=_header(request, b"if-none-exist")
        )
        return _respond(request, await perform(context, interaction))

    @put(
        f"/fhir/{resource_type}/{{resource_id:str}}",
        guards=[hospital],
        include_in_schema=False,
        name=f"fhir update {resource_type}",
    )
    async def update(request: Request[object, object, State], resource_id: FromPath[str]) -> ASGIApp:
        _check_accept(request)
        context = await _context_of(request, settings)
        body = await _read_body(request)
        interaction = Interaction(
            "PUT", resource_type, resource_id, resource=body, if_match=_header(request, b"if-match")
        )
        return _respond(request, await perform(context, interaction))

    @put(f"/fhir/{resource_type}", guards=[hospital], include_in_schema=False, name=f"fhir put {resource_type}")
    async def update_matching(request: Request[object, object, State]) -> ASGIApp:
        _check_accept(request)
        context = await _context_of(request, settings)
        body = await _read_body(request)
        interaction = Interaction(
            "PUT",
            resource_type,
            parameters=_query_parameters(request),
            resource=body,
            if_match=_header(request, b"if-match"),
        )
        return _respond(request, await perform(context, interaction))

    return [*([create] if "c" in permissions else []), *([update, update_matching] if "u" in permissions else [])]


# ── HTTP ──


async def _context_of(request: AnyRequest, settings: Settings) -> RequestContext:
    city: City = request.app.state.city  # injected as a dependency, it would add a tenth to the cost of a charge
    return await request_context(request, city, base_url(request, settings))


def _check_accept(request: AnyRequest) -> None:
    """Raise NotAcceptable unless the client accepts JSON; `_format` takes precedence over `Accept`."""
    accepted = dict(_query_parameters(request)).get("_format") or _header(request, b"accept") or "*/*"
    for part in accepted.replace(" ", "+").split(","):
        media_type, _, parameters = part.strip("+").partition(";")
        if media_type.strip("+").lower() in (*_JSON_TYPES, *_ANY_TYPES) and "q=0+" not in f"{parameters}+":
            return
    raise NotAcceptable(Text(zh="仅支持JSON格式，请修改Accept或_format。", en=f"Only {FHIR_JSON} is supported."))


def _query_parameters(request: AnyRequest) -> tuple[tuple[str, str], ...]:
    raw = request.scope["query_string"]
    return tuple(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else ()


def _is_strict(request: AnyRequest) -> bool:
    return parse_prefer(_header(request, b"prefer") or "").get("handling") == "strict"


async def _form(request: AnyRequest) -> tuple[tuple[str, str], ...]:
    if request.content_type[0].lower() not in (FORM, ""):
        raise UnsupportedMediaType(Text(zh=f"请以{FORM}提交查询。", en=f"A search must be sent as {FORM}."))
    try:
        body = await request.body()
        return tuple(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError as error:
        raise _invalid_body("The body is not a valid form.") from error


async def _read_body(request: AnyRequest) -> Json:
    """Return the resource in the body. Raises UnsupportedMediaType or InvalidResource."""
    if (_header(request, b"content-type") or "").partition(";")[0].strip().lower() not in _JSON_TYPES:
        raise UnsupportedMediaType(Text(zh=f"请以{FHIR_JSON}提交请求体。", en=f"The body must be sent as {FHIR_JSON}."))
    raw = await request.body()
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


def _respond(request: AnyRequest, result: InteractionResult) -> ASGIApp:
    resource = result.resource
    assert resource is not None, "every interaction returns a resource"
    headers = [(b"content-type", FHIR_JSON.encode()), (b"cache-control", b"no-store")]
    if resource["resourceType"] == "Bundle":
        return _raw_response(200, headers, encode(resource))
    headers.append((b"etag", etag(resource).encode()))
    headers.append((b"last-modified", _http_date(resource["meta"]["lastUpdated"][:19])))
    if result.location is not None:
        headers.append((b"location", result.location.encode()))
    content = b"" if result.status == 304 else _response_body(request, resource)  # noqa: PLR2004  an HTTP status
    return _raw_response(result.status, headers, content)


def _raw_response(status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> ASGIApp:
    """Return a response that sends the content as it is; Litestar's Response takes longer than making the content."""
    if status != 304:  # noqa: PLR2004  likewise
        headers.append((b"content-length", str(len(content)).encode()))

    async def respond(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content, "more_body": False})

    return respond


def _response_body(request: AnyRequest, resource: Json) -> bytes:
    """Return the content that the `return` preference of the client asks for."""
    prefer = _header(request, b"prefer") if request.method != "GET" else None
    return_preference = parse_prefer(prefer).get("return") if prefer else None
    if return_preference == "minimal":
        return b""
    if return_preference == "OperationOutcome":
        language = preferred_language(_header(request, b"accept-language") or "")
        return encode(success_outcome(Text(zh="已保存。", en="Saved."), language))
    return encode(resource)


def _header(request: AnyRequest, name: bytes) -> str | None:
    return next((value.decode("latin-1") for known, value in request.scope["headers"] if known == name), None)


def parse_prefer(header: str) -> Mapping[str, str]:
    """Return the preferences of a `Prefer` header (RFC 7240)."""
    pairs = (part.partition("=") for part in header.replace(";", ",").split(","))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


@lru_cache(maxsize=64)
def _http_date(instant: str) -> bytes:
    """Return an instant in UTC, given without fraction and offset, as an HTTP date."""
    return format_datetime(datetime.fromisoformat(f"{instant}Z"), usegmt=True).encode()
