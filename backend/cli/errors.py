"""Shared by all commands: settings from the environment, and errors without a traceback."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from backend.cli.language import AuthorError, language
from backend.i18n import Text
from backend.settings import InvalidSettings, Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Generator


class BadSettings(click.ClickException):
    """One or more environment variables are invalid."""

    exit_code = 2


def load_settings() -> Settings:
    """Return the settings of the process's environment. Raises BadSettings."""
    try:
        return read_settings(os.environ)
    except InvalidSettings as error:
        raise BadSettings(str(error)) from error


@contextmanager
def report_errors() -> Generator[None, None, None]:
    """Report errors of services, rules, keys, files or servers without a traceback, and exit with 1."""
    from backend.rulebook import InvalidRulebook

    try:
        yield
    except InvalidRulebook as error:
        click.echo("\n".join(fault.in_language(language()) for fault in error.faults), err=True)
        count = len(error.faults)
        codes = sorted({f"#{fault.code.lower()}" for fault in error.faults})
        message = Text(
            zh=f"规则中有{count}处错误；详见 docs/rules/checks.zh.md{'、'.join(codes)}",
            en=f"{count} fault{'s' if count > 1 else ''} in the rules; see docs/rules/checks.md{', '.join(codes)}",
        )
        raise AuthorError(message) from error
    except Exception as error:
        from backend.city.releases import UnknownRelease

        if isinstance(error, UnknownRelease):
            raise AuthorError(error.text) from error
        if not isinstance(error, _reported()):
            raise
        raise click.ClickException(str(error)) from error


def _reported() -> tuple[type[Exception], ...]:
    """Return the errors that are reported in one line. Their modules are imported only when there is an error."""
    from pymongo.errors import PyMongoError

    from backend.city.binding import WrongCity
    from backend.city.declarations import InvalidCity
    from backend.city.releases import ActivationPending
    from backend.cli.preflight import NotReady
    from backend.security.field_encryption import UndecryptableField
    from backend.security.keyring import InvalidKeys
    from backend.store import StoreUnavailable
    from backend.store.migrations import UnknownSchema

    return (
        ActivationPending,
        InvalidCity,
        InvalidKeys,
        NotReady,
        OSError,
        PyMongoError,
        StoreUnavailable,
        UndecryptableField,
        UnknownSchema,
        WrongCity,
        sqlite3.Error,
    )
