"""Editions of the rules that two-sided commands compare: a folder, a git revision, or a release in the store.

A revision is unpacked into a temporary folder and read like any other, so that everything that may lie in a folder of
rules lies in a revision as well.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from backend.city.releases import UnknownRelease, release_named, released_rulebook
from backend.cli.errors import load_settings, report_errors
from backend.cli.language import AuthorError
from backend.cli.rules.loading import needed_modules, store_exists
from backend.i18n import Text
from backend.rulebook import CASES, CLAIMS, InvalidRulebook, Rulebook, SourceFile, load_rulebook, module_name, read_file
from backend.rulebook.modules.case_reader import Persona
from backend.rulebook.modules.cases import Personas
from backend.rulebook.needs import facts_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from backend.settings import Settings
    from backend.store import Store

_DIGEST = re.compile(r"[0-9a-f]{1,64}")
_MAX_UNPACKED = 50_000_000


@dataclass(frozen=True)
class Edition:
    """One edition of the rules: the words that named it, its rulebook, and the files of its cases and claims by module.

    `personas` are those that the cases of a module may use.
    `cases` is None for a release, which has none, and no claims either.
    """

    name: str
    rulebook: Rulebook
    cases: dict[str, SourceFile] | None
    claims: dict[str, SourceFile] = field(default_factory=dict[str, SourceFile])
    personas: dict[str, dict[str, Persona]] = field(default_factory=dict[str, dict[str, Persona]])


def edition(text: str) -> Rulebook:
    """Return the rulebook of a folder, a git revision (`HEAD~1`, `v1:rules`) or a release (its digest's beginning).

    A folder that exists comes first. Raises ClickException for words that name none of them, or two.
    """
    return read_edition(text).rulebook


def read_edition(text: str) -> Edition:
    """Return an edition with its cases; see `edition`."""
    settings = load_settings()
    if text and Path(text).is_dir():
        with report_errors():
            return _read_folder(settings, text, Path(text))
    release = _release(settings, text) if _DIGEST.fullmatch(text) else None
    revision, _, folder = text.partition(":")
    commit = _commit(revision)
    if commit is not None and (isinstance(release, Edition) or (release is not None and release.several)):
        raise AuthorError(
            Text(
                zh=f"{text!r} 既是已提交的版本，又是 git 版本；请写 {text}:{settings.rules}，或多写几位编号",
                en=f"{text!r} is both a release and a git revision; write {text}:{settings.rules}, or more digits",
            )
        )
    if isinstance(release, Edition):
        return release
    if commit is None:
        raise _unknown_edition(text, release)
    with _unpacked(commit, folder or settings.rules, text) as unpacked, report_errors():
        return _read_folder(settings, text, unpacked)


def _read_folder(settings: Settings, name: str, folder: Path) -> Edition:
    """Read a folder; faults are shown below the `name` of the edition."""
    try:
        rulebook = load_rulebook(folder, facts_of(needed_modules()), ZoneInfo(settings.time_zone))
    except InvalidRulebook as error:
        shown = [replace(fault, path=fault.path.replace(str(folder), name, 1)) for fault in error.faults]
        raise InvalidRulebook(shown) from error
    cases, claims = (
        {module_name(folder, file): file for file in map(read_file, sorted(folder.rglob(f"*{kind}.yaml")))}
        for kind in (CASES, CLAIMS)
    )
    shared = Personas(folder, facts_of(needed_modules()))
    personas = {module: shared.of(Path(file.path)) for module, file in cases.items()}
    return Edition(name, rulebook, cases, claims, personas)


def _unknown_edition(text: str, release: UnknownRelease | None) -> AuthorError:
    """Return the error of words that name no edition; `release` says why they name no release, if they are digits."""
    if release is not None:
        why = release.text
        return AuthorError(
            Text(
                zh=f"{text!r} 不是文件夹或 git 版本；{why.zh}",
                en=f"{text!r} is neither a folder, nor a git revision; {why.en}",
            )
        )
    return AuthorError(
        Text(
            zh=f"{text!r} 不是文件夹、git 版本（如 HEAD~1、v1:rules），也不是已提交版本编号的开头；"
            "`chengma rules log` 列出已提交的版本",
            en=f"{text!r} is neither a folder, nor a git revision (such as HEAD~1 or v1:rules), nor the beginning "
            "of a release's digest; `chengma rules log` lists the releases",
        )
    )


def _release(settings: Settings, beginning: str) -> Edition | UnknownRelease:
    """Return the release whose digest begins so, or why there is none."""
    from backend.cli.operations import with_store

    async def read(store: Store) -> Rulebook | UnknownRelease:
        try:
            digest = await release_named(store, beginning)
        except UnknownRelease as error:
            return error
        return await released_rulebook(store, digest, needed_modules(), ZoneInfo(settings.time_zone))

    if not store_exists(settings):
        return UnknownRelease(
            Text(
                zh="此处没有城市数据（见 CHENGMA_STORE），不能按版本编号查找",
                en="there is no city here (see CHENGMA_STORE) whose releases could be named by their digests",
            )
        )
    with report_errors():
        found = with_store(settings, read)
    return found if isinstance(found, UnknownRelease) else Edition(beginning, found, None)


def _commit(revision: str) -> str | None:
    """Return the id of the commit that a revision names, or None, also where there is no git."""
    if not revision or revision.startswith("-"):
        return None
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
    return None if found is None else found.decode().strip()


@contextmanager
def _unpacked(commit: str, folder: str, text: str) -> Generator[Path]:
    """Unpack a folder of a commit into a temporary one until the end of the block."""
    packed = None if Path(folder).is_absolute() else _git("archive", "--format=tar", commit, "--", folder)
    if packed is None:
        raise AuthorError(
            Text(
                zh=f"{text!r} 中没有文件夹 {folder!r}；请写 版本:文件夹",
                en=f"there is no folder {folder!r} in {text!r}; write REVISION:FOLDER",
            )
        )
    with TemporaryDirectory(prefix="chengma-rules-") as temporary, tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = [member for member in archive.getmembers() if member.isfile() or member.isdir()]
        if sum(member.size for member in members) > _MAX_UNPACKED:
            raise AuthorError(
                Text(
                    zh=f"{text!r} 中的 {folder!r} 过大，不是规则文件夹",
                    en=f"{folder!r} in {text!r} is no folder of rules: it is too large",
                )
            )
        archive.extractall(temporary, members, filter="data")
        yield Path(temporary, folder)


def _git(*arguments: str) -> bytes | None:
    """Return what git prints, or None if it fails or is not installed."""
    try:
        run = subprocess.run(["git", *arguments], capture_output=True, check=False)  # noqa: S603, S607  no shell; the user's own git
    except OSError:
        return None
    return run.stdout if run.returncode == 0 else None
