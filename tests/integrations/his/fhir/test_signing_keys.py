"""Which keys sign a hospital in over FHIR: registered or published ones, strong ones, and for our own address."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from msgspec.structs import replace

from backend.services.medical_credit.model.hospital import Hospital
from backend.settings import Settings
from integrations.his.fhir import remote_keys
from integrations.his.fhir.smart import ASSERTION_TYPE
from integrations.his.public_keys import named
from tests.services.medical_credit.scene import Scene

Json = dict[str, Any]
OURS = "https://city.example/fhir"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, fhir_url=OURS)


class Key:
    """A key of a hospital."""

    def __init__(self, **members: str) -> None:
        self.private = ec.generate_private_key(ec.SECP384R1())
        self.public: Json = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True) | members

    @property
    def kid(self) -> str:
        return str(named(self.public)["kid"])


class KeyServer:
    """A hospital's web server with its key set; `requests` counts how often it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.location, self.requests, self.delay_seconds = 200, b"", "", 0, 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                time.sleep(outer.delay_seconds)
                self.send_response(outer.status)
                if outer.location:
                    self.send_header("Location", outer.location)
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/jwks.json"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def publish(self, *keys: Key) -> None:
        self.body = json.dumps({"keys": [key.public for key in keys]}).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    running = KeyServer()
    yield running
    running.stop()


SignIn = Callable[..., httpx.Response]


@pytest.fixture
def request_token(scene: Scene) -> SignIn:
    def send(key: Any, kid: str | None, algorithm: str = "ES384", aud: str = "", **options: Any) -> httpx.Response:  # noqa: ANN401  any key
        at = scene.clock.now.timestamp()
        claims = {"iss": "HZ001", "sub": "HZ001", "aud": aud or f"{OURS}/token", "exp": at + 200}
        header = {**({} if kid is None else {"kid": kid}), **options.pop("header", {})}
        assertion = jwt.encode(claims | {"jti": str(time.monotonic_ns())}, key, algorithm, header)
        form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "scope": "system/*.read"}
        return scene.client.post("/fhir/token", data=form | {"client_assertion": assertion}, **options)

    return send


def register(scene: Scene, **fields: Any) -> None:  # noqa: ANN401  fields of a Hospital
    async def change() -> None:
        store = scene.city.store
        known = await store.get(Hospital, "HZ001")
        assert known is not None
        await store.replace(replace(known, **fields))

    scene.call(change)


def register_keys(scene: Scene, *keys: Json) -> None:
    register(scene, jwks={"keys": list(keys)})


def test_a_registered_key_without_kid_is_named_by_its_thumbprint(scene: Scene, request_token: SignIn) -> None:
    key = Key()
    register_keys(scene, key.public)
    assert request_token(key.private, key.kid).status_code == 200
    refused = request_token(key.private, None)
    assert refused.status_code == 401
    assert "thumbprint" in refused.json()["error_description"]


def test_a_refusal_names_what_to_check_and_is_the_same_for_a_key_and_for_a_hospital_that_are_unknown(
    scene: Scene, request_token: SignIn
) -> None:
    key = Key()
    register_keys(scene, key.public)
    unknown_key = request_token(key.private, "other").json()["error_description"]
    register(scene, enabled=False)
    assert request_token(key.private, key.kid).json()["error_description"] == unknown_key
    assert all(claim in unknown_key for claim in ("iss", "kid", "alg", "chengma his hospitals"))


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_weak_algorithms_and_keys_are_refused(scene: Scene, request_token: SignIn) -> None:
    weak = rsa.generate_private_key(65_537, 1_024)  # noqa: S505  what must be refused
    strong = rsa.generate_private_key(65_537, 2_048)
    padded = RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True)
    padded |= {"n": "A" * 344 + padded["n"], "kid": "padded"}
    keys = [{**RSAAlgorithm.to_jwk(one.public_key(), as_dict=True), "kid": str(one.key_size)} for one in (weak, strong)]
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"}
    register_keys(scene, *keys, padded, secret)
    assert request_token(strong, "2048", "RS384").status_code == 200
    for key, kid, algorithm in (
        (weak, "1024", "RS384"),
        (weak, "padded", "RS384"),
        (strong, "2048", "RS256"),
        (strong, "2048", "PS384"),
        (b"secret", "shared", "HS384"),
        (keys[1]["n"].encode(), "2048", "HS256"),
        (None, "2048", "none"),
    ):
        assert request_token(key, kid, algorithm).status_code == 401, (kid, algorithm)


def test_the_audience_is_our_configured_address_and_never_the_host_header(scene: Scene, request_token: SignIn) -> None:
    key = Key()
    register_keys(scene, key.public)
    elsewhere = {"Host": "evil.example"}
    refused = request_token(key.private, key.kid, aud="http://evil.example/fhir/token", headers=elsewhere)
    assert refused.status_code == 401
    assert request_token(key.private, key.kid, headers=elsewhere).status_code == 200
    shown = scene.client.get("/fhir/.well-known/smart-configuration", headers=elsewhere).json()
    assert shown["token_endpoint"] == f"{OURS}/token"
    assert scene.client.get("/fhir/metadata", headers=elsewhere).json()["implementation"]["url"] == OURS


# ── keys by URL ──


def test_a_key_is_rotated_at_its_url_without_a_restart(
    scene: Scene, request_token: SignIn, server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_keys, "MIN_INTERVAL_SECONDS", 0)
    old, new = Key(kid="old"), Key()
    server.publish(old)
    register(scene, jwks_url=server.url)
    assert [request_token(old.private, "old").status_code for _ in range(3)] == [200] * 3
    assert server.requests == 1
    server.publish(new)
    assert request_token(new.private, new.kid).status_code == 200
    assert request_token(old.private, "old").status_code == 401


def test_no_address_in_an_assertion_is_fetched(scene: Scene, request_token: SignIn, server: KeyServer) -> None:
    key, own = Key(kid="k"), Key(kid="own")
    server.publish(key)
    register_keys(scene, own.public)
    assert request_token(key.private, "k", header={"jku": server.url}).status_code == 401
    assert request_token(own.private, "own", header={"jku": server.url}).status_code == 401
    assert server.requests == 0
    register(scene, jwks_url=server.url)
    assert request_token(key.private, "k", header={"jku": server.url}).status_code == 200
    shared = ECAlgorithm.to_jwk(key.private, as_dict=True) | {"kid": "k"}
    register(scene, jwks_url=None, jwks={"keys": [shared]})
    assert request_token(key.private, "k").status_code == 401, "a private key that is published is everybody's"


class Cache:
    """The fetched keys, with a clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self._keys = remote_keys.RemoteKeys(lambda: self.seconds)

    def kids(self, url: str, kid: str) -> list[str]:
        return [key["kid"] for key in asyncio.run(self._keys.keys(url, kid))]


def test_a_withdrawn_key_ends_within_ten_minutes(server: KeyServer) -> None:
    cache = Cache()
    server.publish(Key(kid="old"))
    assert cache.kids(server.url, "old") == ["old"]
    server.publish(Key(kid="new"))
    cache.seconds += remote_keys.FRESH_SECONDS - 1
    assert cache.kids(server.url, "old") == ["old"]
    cache.seconds += 1
    assert cache.kids(server.url, "old") == ["new"]


def test_keys_are_used_for_an_hour_while_their_server_is_down(server: KeyServer) -> None:
    cache = Cache()
    server.publish(Key(kid="k"))
    assert cache.kids(server.url, "k") == ["k"]
    server.status = 500
    cache.seconds += remote_keys.FRESH_SECONDS
    assert cache.kids(server.url, "k") == ["k"]
    cache.seconds += remote_keys.MAX_AGE_SECONDS
    assert cache.kids(server.url, "k") == []
    server.status = 200
    cache.seconds += remote_keys.MIN_INTERVAL_SECONDS
    assert cache.kids(server.url, "k") == ["k"]


def test_unknown_keys_do_not_make_us_ask_a_hospital_again_and_again(server: KeyServer) -> None:
    cache = Cache()
    server.publish(Key(kid="k"))
    for n in range(5):
        cache.kids(server.url, f"x{n}")
    assert server.requests == 1
    cache.seconds += remote_keys.MIN_INTERVAL_SECONDS
    cache.kids(server.url, "x")
    assert server.requests == 2


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("redirect", "the answer has status 302"),
        ("too long", "more than 65,536 bytes"),
        ("not keys", "malformed"),
        ("nested", "Expected `object`|nested too deeply"),
        ("gone", "connect"),
        ("slow", "no answer within"),
    ],
)
def test_an_answer_that_is_no_short_key_set_is_refused(
    case: str, reason: str, server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.publish(Key(kid="k"))
    match case:
        case "redirect":
            server.status, server.location = 302, server.url
        case "too long":
            server.body += b" " * remote_keys.MAX_BYTES
        case "not keys":
            server.body = b"<html>"
        case "nested":
            server.body = b"[" * 50_000
        case "gone":
            server.stop()
        case _:
            server.delay_seconds = 0.3
            monkeypatch.setattr(remote_keys, "FETCH_SECONDS", 0.1)
    with pytest.raises(remote_keys.KeysUnavailable, match=reason):
        asyncio.run(remote_keys.fetch_keys(server.url))
