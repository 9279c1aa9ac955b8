"""The wire of the language server: the questions of editors, and the answers of `rulebook.editor` in their form.

A file is checked as it is typed; its cases run when the author pauses. Editors count in UTF-16 units (or as they agree
with us), which is converted here and nowhere else.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from lsprotocol import types
from pygls import uris
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.workspace import PositionCodec

from backend.cli.garbage_collection import no_collection
from backend.cli.rules.loading import needed_modules
from backend.rulebook.editor.fixes import Fix, fix_of
from backend.rulebook.editor.positions import Edit, Position, Range, range_of
from backend.rulebook.editor.session import InvalidName, Session
from backend.rulebook.editor.workspace import Judgement, Workspace
from backend.rulebook.source import NO_HELP, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backend.settings import Settings

RUN_CASES = "chengma.runCases"
KEYSTROKE_SECONDS = 0.05
"""How long a file rests before it is checked: several keys in a row are one change."""

CASES_SECONDS = 0.4
"""How long a file rests before its cases run."""

_KINDS = {
    "key": types.CompletionItemKind.Property,
    "fact": types.CompletionItemKind.Field,
    "word": types.CompletionItemKind.EnumMember,
    "parameter": types.CompletionItemKind.Constant,
    "function": types.CompletionItemKind.Function,
    "variable": types.CompletionItemKind.Variable,
    "struct": types.CompletionItemKind.Struct,
    "rule": types.CompletionItemKind.Reference,
}


class RuleServer(LanguageServer):
    """A language server for one folder of rules."""

    def __init__(self, settings: Settings, folder: Path | None) -> None:
        super().__init__("chengma", "1")  # pyright: ignore[reportUnknownMemberType]  its other arguments have no type
        self.settings = settings
        self.folder = folder
        self.language = "en"
        self.session = Session(
            Workspace(folder or Path(settings.rules), needed_modules(), ZoneInfo(settings.time_zone))
        )
        self.shown: dict[str, list[types.Diagnostic]] = {}
        self.fixes: dict[str, list[tuple[types.Diagnostic, Fix]]] = {}
        self.timers: dict[bool, asyncio.TimerHandle] = {}

    # ── places ──

    def path(self, uri: str) -> Path | None:
        """Return the path of a rule file below the folder, as the workspace names it; None for any other file."""
        found = uris.to_fs_path(uri)
        folder = self.session.workspace.folder
        if found is None or not found.endswith((".yaml", ".yml")):
            return None
        path = Path(found)
        return folder / path.relative_to(folder) if path.is_relative_to(folder) else None

    @property
    def codec(self) -> PositionCodec:
        """Return the conversion to the units of this editor."""
        return self.workspace.position_codec

    def position(self, path: Path, position: types.Position) -> Position:
        """Return a position of the editor in characters."""
        found = self.codec.position_from_client_units(self.session.lines(path), position)
        return Position(found.line, found.character)

    def range(self, lines: list[str], found: Range) -> types.Range:
        """Return a range in the units of the editor."""
        start, end = (
            self.codec.position_to_client_units(lines, types.Position(at.line, at.column))
            for at in (found.start, found.end)
        )
        return types.Range(start, end)

    def edits(self, edits: list[Edit]) -> types.WorkspaceEdit:
        """Return edits of files in the form of the editor."""
        changes: dict[str, list[types.TextEdit]] = {}
        for edit in edits:
            lines = self.session.lines(Path(edit.path))
            changes.setdefault(_uri(edit.path), []).append(types.TextEdit(self.range(lines, edit.range), edit.text))
        return types.WorkspaceEdit(changes=changes)

    # ── judging ──

    def judge_soon(self) -> None:
        """Check what changed after the next pause of the author, and run the cases after a longer one."""
        loop = asyncio.get_running_loop()
        for run, seconds in ((False, KEYSTROKE_SECONDS), (True, CASES_SECONDS)):
            if run in self.timers:
                self.timers[run].cancel()
            self.timers[run] = loop.call_later(seconds, self.judge, run)

    def judge(self, run: bool) -> Judgement:
        """Judge the workspace, and show its faults in the editor."""
        with no_collection():
            judgement = self.session.workspace.judge(cases=True, run=run)
        self.publish(judgement.faults)
        workspace = self.client_capabilities.workspace
        if run and workspace and workspace.code_lens and workspace.code_lens.refresh_support:
            self.workspace_code_lens_refresh(None)
        return judgement

    def publish(self, faults: Mapping[str, tuple[Fault, ...]]) -> None:
        """Show the faults of each file, and remove those that are gone."""
        found = {path: [self.diagnostic(Path(path), fault) for fault in each] for path, each in faults.items()}
        for path in {*found, *self.shown}:
            diagnostics = found.get(path, [])
            if diagnostics != self.shown.get(path, []):
                self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(_uri(path), diagnostics))
        self.shown = found
        self.fixes = {
            path: [
                (found[path][number], fix) for number, fault in enumerate(each) if (fix := fix_of(fault)) is not None
            ]
            for path, each in faults.items()
        }

    def diagnostic(self, path: Path, fault: Fault) -> types.Diagnostic:
        """Return a fault in the form of the editor, with its help below the message."""
        lines = self.session.lines(path)
        message = fault.message.in_language(self.language)
        if fault.help != NO_HELP:
            message += f"\n{fault.help.in_language(self.language)}"
        return types.Diagnostic(
            self.range(lines, range_of(lines, fault.location)),
            message,
            severity=types.DiagnosticSeverity.Error,
            code=fault.code or None,
            source="chengma",
        )


def make_server(settings: Settings, folder: Path | None) -> RuleServer:
    """Return a language server that is not started yet."""
    server = RuleServer(settings, folder)
    for name, answer in _FEATURES.items():
        server.feature(name)(answer)
    server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=[".", '"', "'", " "]))(
        _complete
    )
    server.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))(_rename)
    server.feature(
        types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix])
    )(_fix)
    server.command(RUN_CASES)(_run_cases)
    return server


def serve(settings: Settings, folder: Path | None) -> None:
    """Serve an editor over standard input and output until it leaves."""
    make_server(settings, folder).start_io()


# ── the life of a file ──


def _initialize(server: RuleServer, params: types.InitializeParams) -> None:
    """Choose the language and the folder: those of the command or its environment, else those of the editor."""
    wanted = os.environ.get("CHENGMA_LANGUAGE") or params.locale or os.environ.get("LANG", "")
    server.language = "zh" if wanted.lower().startswith("zh") else "en"
    root = uris.to_fs_path(params.root_uri) if params.root_uri else None
    workspace = server.session.workspace
    if server.folder is None and root is not None:
        inner = Path(root) / "rules"
        workspace.folder = inner if inner.is_dir() else Path(root)
    workspace.folder = workspace.folder.resolve()


def _initialized(server: RuleServer, _params: types.InitializedParams) -> None:
    server.judge(run=True)


def _opened(server: RuleServer, params: types.DidOpenTextDocumentParams) -> None:
    _changed_text(server, params.text_document.uri)


def _changed(server: RuleServer, params: types.DidChangeTextDocumentParams) -> None:
    _changed_text(server, params.text_document.uri)


def _changed_text(server: RuleServer, uri: str) -> None:
    path = server.path(uri)
    if path is not None:
        server.session.workspace.open(path, server.workspace.get_text_document(uri).source)
        server.judge_soon()


def _saved(server: RuleServer, _params: types.DidSaveTextDocumentParams) -> None:
    server.judge_soon()


def _closed(server: RuleServer, params: types.DidCloseTextDocumentParams) -> None:
    path = server.path(params.text_document.uri)
    if path is not None:
        server.session.workspace.close(path)
        server.judge_soon()


# ── questions ──


def _complete(server: RuleServer, params: types.CompletionParams) -> types.CompletionList | None:
    path = server.path(params.text_document.uri)
    if path is None:
        return None
    at = server.position(path, params.position)
    lines = server.session.lines(path)
    items = [
        types.CompletionItem(
            each.label,
            kind=_KINDS[each.kind],
            detail=each.detail.in_language(server.language).split("\n")[0] or None,
            documentation=each.detail.in_language(server.language) or None,
            text_edit=types.TextEdit(
                server.range(lines, Range(Position(at.line, at.column - each.replaces), at)), each.insert
            ),
            filter_text=each.label,
            sort_text=f"{number:04}",
        )
        for number, each in enumerate(server.session.complete(path, at))
    ]
    return types.CompletionList(is_incomplete=False, items=items)


def _hover(server: RuleServer, params: types.HoverParams) -> types.Hover | None:
    path = server.path(params.text_document.uri)
    found = server.session.hover(path, server.position(path, params.position)) if path is not None else None
    if path is None or found is None:
        return None
    content = types.MarkupContent(types.MarkupKind.Markdown, found.text.in_language(server.language))
    return types.Hover(content, server.range(server.session.lines(path), found.range))


def _define(server: RuleServer, params: types.DefinitionParams) -> types.Location | None:
    path = server.path(params.text_document.uri)
    found = server.session.define(path, server.position(path, params.position)) if path is not None else None
    if found is None:
        return None
    lines = (
        found.path.read_text("utf-8").split("\n") if found.path.suffix == ".py" else server.session.lines(found.path)
    )
    return types.Location(_uri(found.path), server.range(lines, found.range))


def _prepare_rename(server: RuleServer, params: types.PrepareRenameParams) -> types.Range | None:
    path = server.path(params.text_document.uri)
    found = server.session.renamable(path, server.position(path, params.position)) if path is not None else None
    return server.range(server.session.lines(path), found) if path is not None and found is not None else None


def _rename(server: RuleServer, params: types.RenameParams) -> types.WorkspaceEdit | None:
    path = server.path(params.text_document.uri)
    if path is None:
        return None
    try:
        return server.edits(server.session.rename(path, server.position(path, params.position), params.new_name))
    except InvalidName as error:
        raise JsonRpcInvalidParams(error.text.in_language(server.language)) from error


def _lenses(server: RuleServer, params: types.CodeLensParams) -> list[types.CodeLens]:
    path = server.path(params.text_document.uri)
    if path is None or _is_about_a_module(path):
        return []
    lines = server.session.lines(path)
    return [
        types.CodeLens(
            server.range(lines, lens.range),
            types.Command(
                lens.title.in_language(server.language), RUN_CASES, arguments=[params.text_document.uri, lens.rule]
            ),
        )
        for lens in server.session.lenses(path)
    ]


def _is_about_a_module(path: Path) -> bool:
    return "." in path.stem


def _run_cases(server: RuleServer, uri: str, rule: str) -> None:
    """Run the cases of a module again, and say how those of one rule did."""
    path = server.path(uri)
    server.judge(run=True)
    for lens in server.session.lenses(path) if path is not None else ():
        if lens.rule == rule:
            text = "\n".join((f"{rule}  {lens.title.in_language(server.language)}", *lens.failed))
            kind = types.MessageType.Warning if lens.failed else types.MessageType.Info
            server.window_show_message(types.ShowMessageParams(kind, text))


def _fix(server: RuleServer, params: types.CodeActionParams) -> list[types.CodeAction]:
    """Return the quick fixes of the faults at a place."""
    uri = params.text_document.uri
    found: list[types.CodeAction] = []
    for diagnostic, fix in server.fixes.get(str(server.path(uri)), ()):
        if _touches(diagnostic.range, params.range):
            edit = types.WorkspaceEdit(changes={uri: [types.TextEdit(diagnostic.range, fix.replacement)]})
            title = fix.title.in_language(server.language)
            kind = types.CodeActionKind.QuickFix
            found.append(types.CodeAction(title, kind=kind, diagnostics=[diagnostic], is_preferred=True, edit=edit))
    return found


def _touches(one: types.Range, other: types.Range) -> bool:
    return one.start <= other.end and other.start <= one.end


def _uri(path: str | Path) -> str:
    return uris.from_fs_path(str(Path(path).resolve())) or ""


_FEATURES = {
    types.INITIALIZE: _initialize,
    types.INITIALIZED: _initialized,
    types.TEXT_DOCUMENT_DID_OPEN: _opened,
    types.TEXT_DOCUMENT_DID_CHANGE: _changed,
    types.TEXT_DOCUMENT_DID_SAVE: _saved,
    types.TEXT_DOCUMENT_DID_CLOSE: _closed,
    types.TEXT_DOCUMENT_HOVER: _hover,
    types.TEXT_DOCUMENT_DEFINITION: _define,
    types.TEXT_DOCUMENT_PREPARE_RENAME: _prepare_rename,
    types.TEXT_DOCUMENT_CODE_LENS: _lenses,
}
