"""The FHIR R4 door for hospitals' information systems: its routes, and what they speak over HTTP."""

import re
from collections.abc import Sequence
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
from integrations.his.fhir.bundle import Said, answer_bundle
from integrations.his.fhir.capability_statement import INTERACTIONS, capability_statement, smart_configuration
from integrations.his.fhir.exchange import Answer, Asked, Desk, Json, encode, etag, prefers
from integrations.his.fhir.interactions import perform
from integrations.his.fhir.outcome import FHIR_JSON, InvalidResource, NotAcceptable, told
from integrations.his.fhir.smart import FORM, AnyRequest, admit, give_token

hospital = role_guard("hospital")

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
"""Amounts are read from the text as it stands, and never pass through a binary fraction."""

_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_JSON_TYPES = ("application/fhir+json", "application/json", "application/json+fhir", "text/json", "json")
_ANY_TYPES = ("*/*", "application/*")


def fhir_routes(settings: Settings) -> Sequence[ControllerRouterHandler]:
    """Make the routes below `/fhir`. Their contract is the CapabilityStatement, not the OpenAPI document."""
    routes: list[ControllerRouterHandler] = [*_open_routes(settings), _bundle_route(settings)]
    for kind, letters in INTERACTIONS.items():
        routes.extend(_routes_of(kind, letters, settings))
    return routes


def base_of(request: AnyRequest, settings: Settings) -> str:
    """Give the address of the FHIR door, as the settings or the request have it."""
    if settings.fhir_url:
        return settings.fhir_url
    host = _header(request, b"host") or ""
    return f"{request.scope['scheme']}://{host if _HOST.fullmatch(host) else 'localhost'}/fhir"


def _open_routes(settings: Settings) -> list[HTTPRouteHandler]:
    @get("/fhir/metadata", guards=[public], include_in_schema=False)
    async def show_capabilities(
        request: Request[object, object, State], city: NamedDependency[City]
    ) -> Response[bytes]:
        _negotiate(request)
        statement = capability_statement(base_of(request, settings), city.today().isoformat())
        return Response(encode(statement), media_type=FHIR_JSON)

    @get("/fhir/.well-known/smart-configuration", guards=[public], include_in_schema=False)
    async def show_smart_configuration(request: Request[object, object, State]) -> Response[bytes]:
        return Response(encode(smart_configuration(base_of(request, settings))), media_type="application/json")

    @post("/fhir/token", guards=[public], include_in_schema=False)
    async def sign_in(request: Request[object, object, State], city: NamedDependency[City]) -> Response[bytes]:
        return await give_token(request, city, base_of(request, settings))

    return [show_capabilities, show_smart_configuration, sign_in]


def _bundle_route(settings: Settings) -> HTTPRouteHandler:
    @post("/fhir", guards=[hospital], include_in_schema=False)
    async def take_bundle(request: Request[object, object, State]) -> Response[bytes]:
        _negotiate(request)
        desk = await _desk_of(request, settings)
        language = preferred_language(_header(request, b"accept-language") or "")
        request_id = cast("str", request.scope["state"][REQUEST_ID])
        returned = prefers(_header(request, b"prefer") or "").get("return", "representation")
        body = await _resource(request)
        said = Said(returned, language, request_id)
        return Response(encode(await answer_bundle(desk, body, said)), status_code=200, media_type=FHIR_JSON)

    return take_bundle


def _routes_of(kind: str, letters: str, settings: Settings) -> list[HTTPRouteHandler]:
    """Make the routes of one kind of resources."""

    @get(f"/fhir/{kind}", guards=[hospital], include_in_schema=False, name=f"fhir search {kind}")
    async def search(request: Request[object, object, State]) -> ASGIApp:
        _negotiate(request)
        asked = Asked("GET", kind, query=_query(request), strict=_strict(request))
        return _answer(request, await perform(await _desk_of(request, settings), asked))

    @post(f"/fhir/{kind}/_search", guards=[hospital], include_in_schema=False, name=f"fhir post search {kind}")
    async def search_by_form(request: Request[object, object, State]) -> ASGIApp:
        _negotiate(request)
        query = (*_query(request), *await _form(request))
        asked = Asked("GET", kind, query=query, strict=_strict(request), secret=True)
        return _answer(request, await perform(await _desk_of(request, settings), asked))

    @get(f"/fhir/{kind}/{{resource_id:str}}", guards=[hospital], include_in_schema=False, name=f"fhir read {kind}")
    async def read(request: Request[object, object, State], resource_id: FromPath[str]) -> ASGIApp:
        _negotiate(request)
        asked = Asked("GET", kind, resource_id, if_none_match=_header(request, b"if-none-match"))
        return _answer(request, await perform(await _desk_of(request, settings), asked))

    routes = [search, search_by_form, read]

    @post(f"/fhir/{kind}", guards=[hospital], include_in_schema=False, name=f"fhir create {kind}")
    async def create(request: Request[object, object, State]) -> ASGIApp:
        _negotiate(request)
        desk = await _desk_of(request, settings)
        body = await _resource(request)
        asked = Asked("POST", kind, body=body, if_none_exist=_header(request, b"if-none-exist"))
        return _answer(request, await perform(desk, asked))

    @put(f"/fhir/{kind}/{{resource_id:str}}", guards=[hospital], include_in_schema=False, name=f"fhir update {kind}")
    async def update(request: Request[object, object, State], resource_id: FromPath[str]) -> ASGIApp:
        _negotiate(request)
        desk = await _desk_of(request, settings)
        body = await _resource(request)
        asked = Asked("PUT", kind, resource_id, body=body, if_match=_header(request, b"if-match"))
        return _answer(request, await perform(desk, asked))

    routes.extend([create] if "c" in letters else [])
    routes.extend([update] if "u" in letters else [])
    return routes


# ── HTTP ──


async def _desk_of(request: AnyRequest, settings: Settings) -> Desk:
    city: City = request.app.state.city  # as a dependency it would cost a tenth of what a charge costs
    return await admit(request, city, base_of(request, settings))


def _negotiate(request: AnyRequest) -> None:
    """Refuse to speak anything but JSON; `_format` counts before `Accept`. Raises NotAcceptable."""
    wanted = dict(_query(request)).get("_format") or _header(request, b"accept") or "*/*"
    for part in wanted.replace(" ", "+").split(","):
        media_type, _, parameters = part.strip("+").partition(";")
        if media_type.strip("+").lower() in (*_JSON_TYPES, *_ANY_TYPES) and "q=0+" not in f"{parameters}+":
            return
    raise NotAcceptable(Text(zh="仅支持 JSON。", en=f"Only {FHIR_JSON} is spoken here."))


def _query(request: AnyRequest) -> tuple[tuple[str, str], ...]:
    raw = request.scope["query_string"]
    return tuple(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else ()


def _strict(request: AnyRequest) -> bool:
    return prefers(_header(request, b"prefer") or "").get("handling") == "strict"


async def _form(request: AnyRequest) -> tuple[tuple[str, str], ...]:
    if request.content_type[0].lower() not in (FORM, ""):
        raise UnsupportedMediaType(Text(zh="请以表单提交查询。", en=f"A search is sent as {FORM}."))
    try:
        body = await request.body()
        return tuple(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError as error:
        raise _unreadable("The body is no form.") from error


async def _resource(request: AnyRequest) -> Json:
    """Read the body. Raises UnsupportedMediaType or InvalidResource."""
    if (_header(request, b"content-type") or "").partition(";")[0].strip().lower() not in _JSON_TYPES:
        raise UnsupportedMediaType(Text(zh=f"请求体必须是 {FHIR_JSON}。", en=f"The body must be sent as {FHIR_JSON}."))
    try:
        body: object = _decode(await request.body())
    except RecursionError:
        raise _unreadable("The body is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError) as error:
        raise _unreadable(f"The body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise _unreadable("The body must be a resource.")
    return cast("Json", body)


def _unreadable(said: str) -> InvalidResource:
    return InvalidResource(Text(zh="请求体不是有效的 JSON 资源。", en=said), errors=(FieldError("", said),))


def _answer(request: AnyRequest, answer: Answer) -> ASGIApp:
    resource = answer.resource
    assert resource is not None, "every interaction has something to show"
    headers = [(b"content-type", FHIR_JSON.encode()), (b"cache-control", b"no-store")]
    if resource["resourceType"] == "Bundle":
        return _sent(200, headers, encode(resource))
    headers.append((b"etag", etag(resource).encode()))
    headers.append((b"last-modified", _http_date(resource["meta"]["lastUpdated"][:19])))
    if answer.location is not None:
        headers.append((b"location", answer.location.encode()))
    content = b"" if answer.status == 304 else _content(request, resource)  # noqa: PLR2004  HTTP's own number
    return _sent(answer.status, headers, content)


def _sent(status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> ASGIApp:
    """Send bytes that are ready as they are: a Response of Litestar would take longer than to make them."""
    if status != 304:  # noqa: PLR2004  likewise
        headers.append((b"content-length", str(len(content)).encode()))

    async def send_it(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content, "more_body": False})

    return send_it


def _content(request: AnyRequest, resource: Json) -> bytes:
    """Give what the caller prefers to get back of what they wrote."""
    prefer = _header(request, b"prefer") if request.method != "GET" else None
    returned = prefers(prefer).get("return") if prefer else None
    if returned == "minimal":
        return b""
    if returned == "OperationOutcome":
        language = preferred_language(_header(request, b"accept-language") or "")
        return encode(told(Text(zh="已保存。", en="It is kept."), language))
    return encode(resource)


def _header(request: AnyRequest, name: bytes) -> str | None:
    return next((value.decode("latin-1") for known, value in request.scope["headers"] if known == name), None)


@lru_cache(maxsize=64)
def _http_date(instant: str) -> bytes:
    """Write an instant of UTC, without its fraction, as HTTP does."""
    return format_datetime(datetime.fromisoformat(f"{instant}Z"), usegmt=True).encode()
