"""`chengma rules release`, `approve`, `activate`, `cancel`, `rollback`, `show`, `log`: the city's law, by two people.

Each acts over the API in the name of the person who signed in with `chengma login`; no option names anybody else.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from backend.city.releases import MAX_WORDS, MIN_WORDS, only_digest
from backend.cli.api import signed_in
from backend.cli.errors import load_settings, report_errors
from backend.cli.language import AuthorCommand, AuthorOption, language
from backend.cli.rules.instants import instant
from backend.cli.rules.loading import FOLDER, count_rules, test_folder
from backend.cli.rules.review import module_text, print_review
from backend.i18n import Text
from backend.rulebook import read_rules
from backend.rulebook.prover.standing import read_standing_claims

if TYPE_CHECKING:
    from collections.abc import Iterable

    from backend.cli.api import Api
    from backend.rulebook import SourceFile

RELEASES = "/v1/rulebook-releases"
MAX_WAIT_SECONDS = 600
"""How long `approve` waits for the review."""

DIGEST = click.argument("digest")


def _words(text: str) -> str:
    """Return a note or a reason that the server takes. Raises BadParameter."""
    if len(text.strip()) >= MIN_WORDS and len(text) <= MAX_WORDS:
        return text
    raise click.BadParameter(_text(f"须写{MIN_WORDS}至{MAX_WORDS}个字", f"write {MIN_WORDS} to {MAX_WORDS} characters"))


def _check_note(_context: click.Context, _option: click.Parameter, text: str) -> str:
    return _words(text)


@click.command(
    cls=AuthorCommand,
    zh="""把 FOLDER 中的规则模块和主张提交为一个版本，之后由另一人批准并施行。

先检查规则并运行案例；主张由系统在审查时证明。版本以编号命名，不再改变。""",
)
@FOLDER
@click.option(
    "--note",
    required=True,
    callback=_check_note,
    cls=AuthorOption,
    help="Why the rules change; it names nobody.",
    zh="为什么修改规则；不写姓名。",
)
def release(folder: Path | None, note: str) -> None:
    """Submit the rule modules and claims in FOLDER as a release, which another person may then approve and activate.

    The modules are checked and their cases are run first; the server proves the claims when it makes the review. The
    release is named by its digest and never changes.
    """
    settings = load_settings()
    where = folder or Path(settings.rules)
    rulebook, cases = test_folder(settings, where)
    with report_errors():
        files = _texts(where, read_rules(where).values())
        claims = _texts(where, (file for file, _ in read_standing_claims(where, rulebook).values()))
    with signed_in(settings) as api:
        found = api.send("POST", RELEASES, {"files": files, "claims": claims, "note": note})
        missing = sorted(_modules_in_force(api) - set(rulebook.modules))
    short = found["digest"][:16]
    rules = count_rules(rulebook)
    click.echo(_text(f"{cases}个案例全部通过。{rules}。编号 {short}", f"{cases} cases pass. {rules}. Digest {short}"))
    if missing:
        click.echo(
            _text(
                f"注意：以下模块现在施行，但不在此版中，施行后即失效：{'、'.join(missing)}",
                f"Note: these modules are in force, but not in this release, so they would end: {', '.join(missing)}",
            )
        )
    click.echo(
        _text(
            f"已提交。由另一人运行：chengma rules approve {short}",
            f"Submitted. Another person now runs: chengma rules approve {short}",
        )
    )


@click.command(
    cls=AuthorCommand,
    zh="""查看系统为一个版本生成的审查材料，并批准该版本。DIGEST 是编号的开头。

审查材料把该版本与现行规则比较：含义的变化、证明的结果、现在哪些人会改变、以往哪些人会不同。
有一部分未能生成时，须写明理由才能批准。批准不等于施行。""",
)
@DIGEST
def approve(digest: str) -> None:
    """Read what the server found out about a release, and approve it. DIGEST is the beginning of its digest.

    The review compares the release with the rules in force: what changed in meaning, what the prover says, who changes
    now, and who would have changed. A part that could not be made is approved without only for a reason, which is
    asked for. Approving puts nothing in force.
    """
    settings = load_settings()
    with signed_in(settings) as api:
        full_digest = _full_digest(api, digest)
        found = api.get(f"{RELEASES}/{full_digest}")
        _refuse_own(api, found)
        review = _review(api, full_digest)
        print_review(review, found, ZoneInfo(settings.time_zone), language())
        acknowledged = {
            part["name"]: click.prompt(
                _text(
                    f"没有 {part['name']} 仍要批准的理由",
                    f"Reason to approve without {part['name']}",
                ),
                value_proc=_words,
            )
            for part in review["parts"]
            if part["failure"] is not None
        }
        short = full_digest[:16]
        click.confirm(_text(f"批准 {short}？", f"Approve {short}?"), abort=True)
        body = {"review": review["digest"], "acknowledged": acknowledged}
        api.send("POST", f"{RELEASES}/{full_digest}/approvals", body)
    click.echo(
        _text(
            f"已批准。施行：chengma rules activate {short}",
            f"Approved. To put it in force: chengma rules activate {short}",
        )
    )


@click.command(
    cls=AuthorCommand,
    zh="""使已批准的版本立即施行，或在以后的时刻施行。DIGEST 是编号的开头。""",
)
@DIGEST
@click.option(
    "--at",
    callback=instant,
    cls=AuthorOption,
    help="The later day, such as 2026-12-01, or instant with its offset from UTC (default: at once).",
    zh="以后施行的日期，如 2026-12-01（当日零点起），或写明与UTC时差的时刻（默认：立即）。",
)
def activate(digest: str, at: datetime | None) -> None:
    """Put an approved release in force, at once or at a later instant. DIGEST is the beginning of its digest."""
    settings = load_settings()
    with signed_in(settings) as api:
        found = _activate(api, _full_digest(api, digest), at)
    click.echo(_standing(found, ZoneInfo(settings.time_zone)))


@click.command(
    cls=AuthorCommand,
    zh="""取消一个版本的定时施行。DIGEST 是编号的开头。""",
)
@DIGEST
def cancel(digest: str) -> None:
    """Cancel the scheduled activation of a release. DIGEST is the beginning of its digest."""
    with signed_in(load_settings()) as api:
        full_digest = _full_digest(api, digest)
        api.send("DELETE", f"{RELEASES}/{full_digest}/activations")
    click.echo(
        _text(
            f"{full_digest[:16]} 已取消定时施行。",
            f"{full_digest[:16]} is no longer scheduled.",
        )
    )


@click.command(
    cls=AuthorCommand,
    zh="""恢复曾经施行的版本，不需再次批准。DIGEST 是编号的开头。""",
)
@DIGEST
def rollback(digest: str) -> None:
    """Put an earlier release in force again, without another approval. DIGEST is the beginning of its digest."""
    settings = load_settings()
    with signed_in(settings) as api:
        full_digest = _full_digest(api, digest)
        if not api.get(f"{RELEASES}/{full_digest}")["periods"]:
            short = full_digest[:16]
            raise click.ClickException(
                _text(
                    f"{short} 从未施行；请用 approve 和 activate。",
                    f"{short} was never in force; use approve and activate.",
                )
            )
        found = _activate(api, full_digest, None)
    click.echo(_standing(found, ZoneInfo(settings.time_zone)))


@click.command(
    cls=AuthorCommand,
    zh="""显示一个版本的原文：全部规则模块，或只显示 MODULE，并附编制人的主张。DIGEST 是编号的开头。""",
)
@DIGEST
@click.argument("module", required=False)
def show(digest: str, module: str | None) -> None:
    """Print the text of a release: each rule module, or only MODULE, with its author's claims.

    DIGEST is the beginning of its digest.
    """
    with signed_in(load_settings()) as api:
        found = api.get(f"{RELEASES}/{_full_digest(api, digest)}")
    known = sorted(found["files"])
    if module is not None and module not in known:
        raise click.ClickException(
            _text(
                f"该版中没有模块“{module}”；有：{'、'.join(known)}",
                f"this release has no module {module!r}; it has: {', '.join(known)}",
            )
        )
    for name in known if module is None else [module]:
        click.echo("\n".join(module_text(found, name, language())))


@click.command(
    cls=AuthorCommand,
    zh="""列出各版本曾经、现在和将要施行的时间、提交和施行的账号，以及从未施行的版本，最新的在前。""",
)
def log() -> None:
    """List which release was, is and will be in force when, and the releases that never were, the newest first.

    Each line names the accounts that submitted the release and put it in force.
    """
    settings = load_settings()
    zone = ZoneInfo(settings.time_zone)
    with signed_in(settings) as api:
        activations = api.get("/v1/rulebook-activations")["activations"]
        releases = _releases(api)
    by_digest = {one["digest"]: one for one in releases}
    for one in activations:
        release = by_digest.get(one["digest"], {})
        note = f"  {release['note']}" if release.get("note") else ""
        since, until = (_local(one[end], zone) if one[end] else "…" for end in ("since", "until"))
        author, by = _account(release.get("author")), _account(one["account"])
        who = _text(f"提交：{author}；施行：{by}", f"submitted by {author}, activated by {by}")
        click.echo(f"{one['digest'][:16]}  {since} – {until}{note}  ({who})")
    never = [one for one in releases if one["digest"] not in {each["digest"] for each in activations}]
    for one in never:
        words = _text("未施行", "never in force")
        note, author = f"  {one['note']}" if one["note"] else "", _account(one["author"])
        who = _text(f"提交：{author}", f"submitted by {author}")
        click.echo(f"{one['digest'][:16]}  {words}  {_local(one['published'], zone)}{note}  ({who})")
    if not activations and not never:
        click.echo(
            _text(
                "尚未提交过规则；各进程使用自带的规则。",
                "No release has been submitted: each process uses its own folder of rules.",
            )
        )


def _texts(folder: Path, files: Iterable[SourceFile]) -> dict[str, str]:
    """Return the texts of files by their paths below the folder."""
    return {Path(file.path).relative_to(folder).as_posix(): file.text for file in files}


def _account(account: str | None) -> str:
    """Return the id of an account as it is shown; the API has none for what the city's machine did."""
    return account or _text("本市服务器", "the city's machine")


def _refuse_own(api: Api, release: dict[str, Any]) -> None:
    """Refuse, before anything is read or asked, a release of one's own. Raises ClickException.

    The server refuses it too, and from other accounts of the same person.
    """
    if release["author"] == api.get("/v1/me")["id"]:
        raise click.ClickException(
            _text(
                "该版规则由您提交，须由另一人批准。",
                "You submitted this release; another person must approve it.",
            )
        )


def _modules_in_force(api: Api) -> set[str]:
    """Return the names of the modules of the release in force; none while no release is."""
    current = next((one["digest"] for one in _releases(api) if one["in_force"]), None)
    return set() if current is None else set(api.get(f"{RELEASES}/{current}")["files"])


def _activate(api: Api, digest: str, at: datetime | None) -> dict[str, Any]:
    body = {"at": at.isoformat() if at is not None else None}
    return api.send("POST", f"{RELEASES}/{digest}/activations", body)


def _local(at: str, zone: ZoneInfo) -> str:
    """Return an instant of the API in the city's time zone, to the second."""
    return datetime.fromisoformat(at).astimezone(zone).isoformat(timespec="seconds")


def _standing(found: dict[str, Any], zone: ZoneInfo) -> str:
    short = found["digest"][:16]
    if found["in_force"]:
        return _text(f"{short} 现已施行。", f"{short} is in force.")
    at = _local(found["scheduled"], zone)
    return _text(f"{short} 将于 {at} 施行。", f"{short} will be in force from {at} on.")


def _review(api: Api, digest: str) -> dict[str, Any]:
    """Return the review of a release once the server has made it."""
    give_up = time.monotonic() + MAX_WAIT_SECONDS
    waiting = False
    while True:
        found = api.get(f"{RELEASES}/{digest}/review")
        if found["made"] is not None:
            return found
        if time.monotonic() > give_up:
            raise click.ClickException(
                _text("审查材料还未生成，请稍后再试。", "The review is not made yet; try again later.")
            )
        if not waiting:
            click.echo(_text("正在生成审查材料……", "The review is being made ..."), err=True)
            waiting = True
        time.sleep(1)


def _full_digest(api: Api, beginning: str) -> str:
    """Return the digest of the only release whose digest begins so. Raises ClickException."""
    with report_errors():
        return only_digest((one["digest"] for one in _releases(api)), beginning)


def _releases(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = api.get(RELEASES, **({"cursor": cursor} if cursor else {}))
        found += page["releases"]
        cursor = page["cursor"]
        if cursor is None:
            return found


def _text(zh: str, en: str) -> str:
    return Text(zh=zh, en=en).in_language(language())
