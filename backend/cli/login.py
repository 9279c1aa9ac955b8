"""`chengma login` and `chengma logout`: sign in to the city's API as a member of staff."""

from __future__ import annotations

from contextlib import suppress

import click

from backend.cli.api import NotSignedIn, api_address, new_api, session_file, signed_in, write_session
from backend.cli.errors import load_settings
from backend.cli.language import language
from backend.i18n import Text


@click.command()
@click.argument("phone", required=False)
def login(phone: str | None) -> None:
    """Sign in to the city's API (CHENGMA_API) with PHONE and the code that is sent to it.

    The session is kept in a file that only you can read, and ends with `chengma logout`, on the list of your sessions,
    or a month after its last use. Commands such as `chengma rules release` act in your name.
    """
    address = api_address(load_settings())
    api = new_api(address)
    try:
        number = phone or click.prompt(_text("手机号", "Phone"))
        session = api.sign_in(number, lambda: click.prompt(_text("短信验证码", "Code in the text message")).strip())
        write_session(session)
        me = api.get("/v1/me")
    finally:
        api.close()
    click.echo(_text(f"已登录 {address}。", f"Signed in to {address}."))
    roles, waiting = ", ".join(me["roles"]), ", ".join(me["roles_waiting"])
    if roles:
        click.echo(_text(f"岗位：{roles}", f"Roles: {roles}"))
    if waiting:
        click.echo(_text(f"待本人核验身份后生效：{waiting}", f"After you prove your identity in person: {waiting}"))
    if not roles and not waiting:
        click.echo(
            _text("此账号没有岗位，不能提交或批准规则。", "This account has no role: it submits and approves nothing.")
        )


@click.command()
def logout() -> None:
    """End the session of `chengma login`, here and in the city."""
    with suppress(NotSignedIn), signed_in(load_settings()) as api:
        api.send("DELETE", "/v1/sessions/current")
    session_file().unlink(missing_ok=True)
    click.echo(_text("已退出登录。", "Signed out."))


def _text(zh: str, en: str) -> str:
    return Text(zh=zh, en=en).in_language(language())
