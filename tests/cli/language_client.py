"""A client of the language server over its standard input and output, as an editor is one."""

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

from tests.conftest import ROOT

Answer = Any


class LanguageClient:
    """Starts the server, and speaks the protocol byte by byte."""

    def __init__(self, folder: Path, *, locale: str = "en", encodings: tuple[str, ...] = ("utf-16",)) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("CHENGMA_", "LC_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "backend", "rules", "lsp", "--rules", str(folder)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.folder = folder.resolve()
        self.numbers = itertools.count(1)
        self.versions = itertools.count(1)
        self.received: queue.Queue[dict[str, Any]] = queue.Queue()
        self.diagnostics: dict[str, list[Answer]] = {}
        self.messages: list[str] = []
        self.receiver = threading.Thread(target=self._receive, daemon=True)
        self.receiver.start()
        capabilities = {
            "general": {"positionEncodings": list(encodings)},
            "workspace": {"codeLens": {"refreshSupport": True}},
        }
        self.server = self.request(
            "initialize",
            {"processId": None, "rootUri": self.folder.as_uri(), "capabilities": capabilities, "locale": locale},
        )
        self.notify("initialized", {})

    def close(self) -> None:
        """End the server as an editor does."""
        self.request("shutdown", None)
        self.notify("exit", None)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.receiver.join(10)
        self.process.stdout.close()

    def uri(self, name: str) -> str:
        """Return the address of a file of the rules."""
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str | None = None) -> None:
        """Open a file, with this text or that of the disk."""
        text = (self.folder / name).read_text("utf-8") if text is None else text
        document = {"uri": self.uri(name), "languageId": "yaml", "version": next(self.versions), "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, name: str, text: str) -> None:
        """Replace the whole text of an open file."""
        document = {"uri": self.uri(name), "version": next(self.versions)}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": text}]})

    def at(self, method: str, name: str, line: int, character: int, **more: object) -> Answer:
        """Ask about a position of a file."""
        where = {"textDocument": {"uri": self.uri(name)}, "position": {"line": line, "character": character}}
        return self.request(f"textDocument/{method}", {**where, **more})

    def faults(self, name: str, *, until: int | None = None, seconds: float = 30) -> list[Answer]:
        """Return the next diagnostics of a file, or those that are `until` of this number."""
        deadline = time.monotonic() + seconds
        self.diagnostics.pop(self.uri(name), None)
        while True:
            found = self.diagnostics.get(self.uri(name))
            if found is not None and (until is None or len(found) == until):
                return found
            self._take(deadline)

    def request(self, method: str, params: object) -> Answer:
        """Send a request and return its result, or the error as a dict with a code."""
        number = next(self.numbers)
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        deadline = time.monotonic() + 30
        while True:
            message = self._take(deadline)
            if message.get("id") == number and "method" not in message:
                return message["error"] if "error" in message else message.get("result")

    def notify(self, method: str, params: object) -> None:
        """Send a notification."""
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def _take(self, deadline: float) -> dict[str, Any]:
        message = self.received.get(timeout=max(0.01, deadline - time.monotonic()))
        match message.get("method"):
            case "textDocument/publishDiagnostics":
                self.diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
            case "window/showMessage":
                self.messages.append(message["params"]["message"])
            case "workspace/codeLens/refresh":
                self._send({"jsonrpc": "2.0", "id": message["id"], "result": None})
            case _:
                pass
        return message

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def _receive(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while header := stream.readline():
            length = int(header.split(b":")[1])
            while stream.readline().strip():
                pass  # the other headers
            self.received.put(cast("dict[str, Any]", json.loads(stream.read(length))))
