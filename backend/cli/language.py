"""The language of the commands of rule authors: Chinese or English.

`CHENGMA_LANGUAGE` decides, else the terminal's locale, else English.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any, Literal

import click

from backend.i18n import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADINGS = {"Options": "选项", "Commands": "命令"}
_SHOW_HELP = "显示帮助并退出。"
_TOO_MANY = "Got unexpected extra argument "


def language(environment: Mapping[str, str] = os.environ) -> Literal["zh", "en"]:
    """Return the language for the author at this terminal.

    Of the locale's variables the first that is set decides, in the order of POSIX: LC_ALL, LC_MESSAGES, LANG.
    """
    chosen = environment.get("CHENGMA_LANGUAGE", "")
    if chosen in ("zh", "en"):
        return "zh" if chosen == "zh" else "en"
    locale = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "")
    return "zh" if locale.lower().startswith(("zh", "chinese")) else "en"


def say(text: Text, **values: object) -> None:
    """Print a sentence in the author's language, with values in place of `{names}`; a Text in the same language."""
    click.echo(text.format(**values).in_language(language()))


class AuthorError(click.ClickException):
    """An error in the author's language, which ends the command with 1."""

    def __init__(self, message: Text) -> None:
        super().__init__(message.in_language(language()))

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error."""
        if language() == "en":
            super().show(file)
        else:
            click.echo(f"错误：{self.format_message()}", file=file, err=True)


class _ChineseUsageError(click.UsageError):
    """What is wrong with the words after a command, in Chinese."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the usage and the error."""
        if self.ctx is not None:
            usage = f"{self.ctx.get_usage()}\n运行 {self.ctx.command_path} --help 查看帮助。\n"
            click.echo(usage, file=file, err=True)
        click.echo(f"错误：{self.format_message()}", file=file, err=True)


def _in_chinese(error: click.UsageError) -> str:
    """Return what is wrong with the words after a command; our own messages are in Chinese already."""
    match error:
        case click.NoSuchOption():
            near = f"，是否应为 {error.possibilities[0]}？" if error.possibilities else ""
            return f"没有选项 {error.option_name}{near}"
        case click.NoSuchCommand():
            return f"没有命令 {error.command_name}"
        case click.BadParameter(param=click.Parameter() as parameter):
            hint = parameter.get_error_hint(error.ctx)
            if isinstance(error, click.MissingParameter):
                return f"缺少 {hint}"
            if isinstance(parameter.type, click.Choice):
                return f"{hint} 只能是：{'、'.join(map(str, parameter.type.choices))}"
            if isinstance(parameter.type, click.DateTime):
                return f"{hint} 须写日期，如 2020-02-11"
            return f"{hint} 的值不正确：{error.message}"
        case _:
            return error.message.replace(_TOO_MANY, "多余的参数 ")


class AuthorCommand(click.Command):
    """A command whose help is its docstring in English, and `zh` in Chinese."""

    def __init__(self, *arguments: Any, zh: str, **options: Any) -> None:  # noqa: ANN401  those of click.Command
        super().__init__(*arguments, **options)
        self.zh = zh

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first sentence of the help."""
        if language() == "en":
            return super().get_short_help_str(limit)
        return self.zh.strip().split("。")[0].replace("\n", "") + "。"

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help."""
        if language() == "en":
            super().format_help_text(ctx, formatter)
            return
        for line in ("", *self.zh.strip().split("\n")):
            formatter.write(f"  {line}".rstrip() + "\n")

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the line of the usage."""
        format_usage(self, ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options."""
        format_options(self, ctx, formatter)


class AuthorGroup(click.Group):
    """A group of commands whose help is `help` in English, and `zh` in Chinese."""

    def __init__(self, *arguments: Any, zh: str = "", **options: Any) -> None:  # noqa: ANN401  those of click.Group
        super().__init__(*arguments, **options)
        self.zh = zh

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  that of click.Group
        """Run a command; what is wrong with its words is said in the author's language."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if language() == "en":
                raise
            raise _ChineseUsageError(_in_chinese(error), error.ctx) from error
        except click.ClickException as error:
            if language() == "en" or isinstance(error, AuthorError):
                raise
            click.echo(f"错误：{error.format_message()}", err=True)
            ctx.exit(error.exit_code)
        except click.Abort:
            if language() == "en":
                raise
            click.echo("已中止，未作任何改动。", err=True)
            ctx.exit(1)

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first sentence of the help."""
        return super().get_short_help_str(limit) if language() == "en" else self.zh

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help."""
        if language() == "en":
            super().format_help_text(ctx, formatter)
            return
        formatter.write(f"\n  {self.zh}\n")

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the line of the usage."""
        format_usage(self, ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with the first sentence of each."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        limit = formatter.width - 6 - max(map(len, found))
        with formatter.section(heading("Commands")):
            formatter.write_dl(
                [(name, command.get_short_help_str(limit)) for name, command in found.items() if command is not None]
            )


class AuthorOption(click.Option):
    """An option whose help is `help` in English, and `zh` in Chinese."""

    def __init__(self, *arguments: Any, zh: str, **options: Any) -> None:  # noqa: ANN401  those of click.Option
        super().__init__(*arguments, **options)
        self.zh = zh

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's names and help."""
        record = super().get_help_record(ctx)
        if record is None or language() == "en":
            return record
        notes = ["必填"] if self.required else []
        if self.show_default:
            notes.append(f"默认：{self.get_default(ctx)}")
        return record[0], f"{self.zh.rstrip('。')}（{'；'.join(notes)}）。" if notes else self.zh


def format_usage(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write a command's usage with its heading in the author's language."""
    prefix = "用法：" if language() == "zh" else None
    formatter.write_usage(ctx.command_path, " ".join(command.collect_usage_pieces(ctx)), prefix)


def format_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write a command's options with their heading in the author's language."""
    options = [each for each in command.get_params(ctx) if isinstance(each, click.Option)]
    records = [record for each in options if (record := each.get_help_record(ctx)) is not None]
    if language() == "zh":
        records = [
            (names, _SHOW_HELP if each is command.get_help_option(ctx) else text)
            for each, (names, text) in zip(options, records, strict=True)
        ]
    if records:
        with formatter.section(heading("Options")):
            formatter.write_dl(records)


def heading(english: str) -> str:
    """Return a heading of click's help in the author's language."""
    return _HEADINGS[english] if language() == "zh" else english
