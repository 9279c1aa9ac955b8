"""The school plans of education bureaus, as files."""

from typing import TYPE_CHECKING

from backend.city.service import Integration

if TYPE_CHECKING:
    import click


def _command() -> "click.Command":
    from integrations.schools.command import schools

    return schools


integration = Integration(command=_command)
