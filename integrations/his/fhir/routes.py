"""The routes of the FHIR R4 interface for hospital information systems, and their HTTP details."""

from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any, cast

import msgspec
from litestar import Request, Response, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from backend.city.service import City
from backend.i18n import Text, preferred_language
from backend.operations.access_log import REQUEST_ID
from backend.security.identity import public, role_guard
from backend.settings import Settings
from integrations.his.fhir.bundle import ResponseOptions, process_bundle
from integrations.his.fhir.capability_statement import INTERACTIONS, capability_statement, smart_configuration
from integrations.his.fhir.context import RequestContext
from integrations.his.fhir.interactions import Interaction, InteractionResult, perform
from integrations.his.fhir.negotiation import (
    check_accept,
    header,
    is_strict,
    parse_prefer,
    query_parameters,
    read_form,
    read_resource_body,
)
from integrations.his.fhir.operation_outcome import FHIR_JSON, success_outcome
from integrations.his.fhir.remote_keys import RemoteKeys
from integrations.his.fhir.representation import Json, encode, etag
from integrations.his.fhir.smart import AnyRequest, issue_token, request_context

hospital = role_guard("hospital")


class _get_and_head(HTTPRouteHandler):  # noqa: N801  like Litestar's own `get`
    """A route that answers HEAD like GET, without the content."""

    def __init__(self, path: str, **options: Any) -> None:  # noqa: ANN401  those of a route
        methods = [HttpMethod.GET, HttpMethod.HEAD]
        super().__init__(path, http_method=methods, **options)  # pyright: ignore[reportUnknownMemberType]


def fhir_routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    """Return the routes below `/fhir`. The CapabilityStatement describes them, not the OpenAPI document."""
    routes: list[ControllerRouterHandler] = [*_public_routes(settings), _bundle_route(settings)]
    for resource_type, permissions in INTERACTIONS.items():
        routes.extend(_resource_routes(resource_type, permissions, settings))
    return routes


def base_url(settings: Settings) -> str:
    """Return the base URL of the FHIR interface, from the settings: a request could name any host."""
    if settings.fhir_url:
        return settings.fhir_url
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}/fhir"


def _public_routes(settings: Settings) -> list[HTTPRouteHandler]:
    remote_keys = RemoteKeys()

    @_get_and_head("/fhir/metadata", guards=[public], include_in_schema=False)
    async def read_capability_statement(request: Request[object, object, State]) -> Response[bytes]:
        check_accept(request)
        return Response(encode(capability_statement(base_url(settings))), media_type=FHIR_JSON)

    @_get_and_head("/fhir/.well-known/smart-configuration", guards=[public], include_in_schema=False)
    async def read_smart_configuration() -> Response[bytes]:
        return Response(encode(smart_configuration(base_url(settings))), media_type="application/json")

    @post("/fhir/token", guards=[public], include_in_schema=False)
    async def request_token(request: Request[object, object, State], city: NamedDependency[City]) -> Response[bytes]:
        return await issue_token(request, city, base_url(settings), remote_keys)

    return [read_capability_statement, read_smart_configuration, request_token]


def _bundle_route(settings: Settings) -> HTTPRouteHandler:
    @post("/fhir", guards=[hospital], include_in_schema=False)
    async def receive_bundle(request: Request[object, object, State]) -> Response[bytes]:
        check_accept(request)
        context = await _context_of(request, settings)
        language = preferred_language(header(request, b"accept-language") or "")
        request_id = cast("str", request.scope["state"][REQUEST_ID])
        return_preference = parse_prefer(header(request, b"prefer") or "").get("return", "representation")
        body = await read_resource_body(request, settings.body_bytes)
        options = ResponseOptions(return_preference, language, request_id)
        return Response(encode(await process_bundle(context, body, options)), status_code=200, media_type=FHIR_JSON)

    return receive_bundle


def _resource_routes(resource_type: str, permissions: str, settings: Settings) -> list[HTTPRouteHandler]:
    """Return the routes of one resource type."""

    @_get_and_head(
        f"/fhir/{resource_type}",
        guards=[hospital],
        include_in_schema=False,
        name=f"fhir search {resource_type}",
    )
    async def search(request: Request[object, object, State]) -> ASGIApp:
        check_accept(request)
        interaction = Interaction("GET", resource_type, parameters=query_parameters(request), strict=is_strict(request))
        return _respond(request, await perform(await _context_of(request, settings), interaction))

    @post(
        f"/fhir/{resource_type}/_search",
        guards=[hospital],
        include_in_schema=False,
        name=f"fhir post search {resource_type}",
    )
    async def search_by_form(request: Request[object, object, State]) -> ASGIApp:
        check_accept(request)
        parameters = (*query_parameters(request), *await read_form(request, settings.body_bytes))
        interaction = Interaction("GET", resource_type, parameters=parameters, strict=is_strict(request), in_body=True)
        return _respond(request, await perform(await _context_of(request, settings), interaction))

    @_get_and_head(
        f"/fhir/{resource_type}/{{resource_id:str}}",
        guards=[hospital],
        include_in_schema=False,
        name=f"fhir read {resource_type}",
    )
    async def read(request: Request[object, object, State], resource_id: FromPath[str]) -> ASGIApp:
        check_accept(request)
        interaction = Interaction(
            "GET",
            resource_type,
            resource_id,
            parameters=query_parameters(request),
            if_none_match=header(request, b"if-none-match"),
            strict=is_strict(request),
        )
        return _respond(request, await perform(await _context_of(request, settings), interaction))

    return [search, search_by_form, read, *_write_routes(resource_type, permissions, settings)]


def _write_routes(resource_type: str, permissions: str, settings: Settings) -> list[HTTPRouteHandler]:
    """Return the routes that create and update resources of a type, as far as it has them."""

    @post(f"/fhir/{resource_type}", guards=[hospital], include_in_schema=False, name=f"fhir create {resource_type}")
    async def create(request: Request[object, object, State]) -> ASGIApp:
        check_accept(request)
        context = await _context_of(request, settings)
        body = await read_resource_body(request, settings.body_bytes)
        interaction = Interaction("POST", resource_type, resource=body, if_none_exist=header(request, b"if-none-exist"))
        return _respond(request, await perform(context, interaction))

    @put(
        f"/fhir/{resource_type}/{{resource_id:str}}",
        guards=[hospital],
        include_in_schema=False,
        name=f"fhir update {resource_type}",
    )
    async def update(request: Request[object, object, State], resource_id: FromPath[str]) -> ASGIApp:
        check_accept(request)
        context = await _context_of(request, settings)
        body = await read_resource_body(request, settings.body_bytes)
        interaction = Interaction(
            "PUT", resource_type, resource_id, resource=body, if_match=header(request, b"if-match")
        )
        return _respond(request, await perform(context, interaction))

    @put(f"/fhir/{resource_type}", guards=[hospital], include_in_schema=False, name=f"fhir put {resource_type}")
    async def update_matching(request: Request[object, object, State]) -> ASGIApp:
        check_accept(request)
        context = await _context_of(request, settings)
        body = await read_resource_body(request, settings.body_bytes)
        interaction = Interaction(
            "PUT",
            resource_type,
            parameters=query_parameters(request),
            resource=body,
            if_match=header(request, b"if-match"),
        )
        return _respond(request, await perform(context, interaction))

    return [*([create] if "c" in permissions else []), *([update, update_matching] if "u" in permissions else [])]


# ── HTTP ──


async def _context_of(request: AnyRequest, settings: Settings) -> RequestContext:
    city: City = request.app.state.city  # injected as a dependency, it would add a tenth to the cost of a charge
    return await request_context(request, city, base_url(settings))


def _respond(request: AnyRequest, result: InteractionResult) -> ASGIApp:
    resource = result.resource
    assert resource is not None, "every interaction returns a resource"
    headers = [(b"content-type", FHIR_JSON.encode()), (b"cache-control", b"no-store")]
    if resource["resourceType"] == "Bundle":
        return _raw_response(200, headers, _encoded(request, resource))
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
    prefer = header(request, b"prefer") if request.method != "GET" else None
    return_preference = parse_prefer(prefer).get("return") if prefer else None
    if return_preference == "minimal":
        return b""
    if return_preference == "OperationOutcome":
        language = preferred_language(header(request, b"accept-language") or "")
        return encode(success_outcome(Text(zh="已保存。", en="Saved."), language))
    return _encoded(request, resource)


def _encoded(request: AnyRequest, resource: Json) -> bytes:
    content = encode(resource)
    is_pretty = b"_pretty=true" in request.scope["query_string"].split(b"&")
    return msgspec.json.format(content, indent=2) if is_pretty else content


@lru_cache(maxsize=64)
def _http_date(instant: str) -> bytes:
    """Return an instant in UTC, given without fraction and offset, as an HTTP date."""
    return format_datetime(datetime.fromisoformat(f"{instant}Z"), usegmt=True).encode()
