"""The sandbox of the national interface as an ASGI application: every POST is an envelope."""

from typing import Any

from integrations.insurance.national_sandbox import NationalSandbox

MAX_BODY = 10_000_000


def asgi_application(sandbox: NationalSandbox) -> Any:  # noqa: ANN401  ASGI has no type here
    """Return the application that a server runs."""

    async def application(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  ASGI
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more and len(body) <= MAX_BODY:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        status, content = (413, b"") if len(body) > MAX_BODY else await sandbox.answer(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return application
