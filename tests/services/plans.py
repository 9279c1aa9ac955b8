"""Check how MongoDB executes the commands of the services."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pymongo import monitoring
from pymongo.database import Database

EXPLAINED_COMMANDS = {"find", "aggregate", "count", "distinct", "update", "delete", "findAndModify"}
DRIVER_OPTIONS = {"lsid", "txnNumber", "maxTimeMS", "readConcern", "writeConcern", "hint"}
SLOW = {"COLLSCAN": "reads the whole collection", "SORT": "sorts in memory"}


class CommandRecorder(monitoring.CommandListener):
    """Records one example of each form of command."""

    def __init__(self) -> None:
        self.transactions: list[str] = []
        self.unbounded: list[str] = []
        self._examples: dict[str, dict[str, dict[str, Any]]] = {}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        command = dict(event.command)
        if "startTransaction" in command:
            self.transactions.append(event.command_name)
        if event.command_name in EXPLAINED_COMMANDS | {"insert"} and "maxTimeMS" not in command:
            self.unbounded.append(event.command_name)
        if event.command_name in EXPLAINED_COMMANDS:
            examples = self._examples.setdefault(event.database_name, {})
            examples.setdefault(_form(event.command_name, command), command)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass

    def pop_examples(self, database: str) -> dict[str, dict[str, Any]]:
        """Return and forget the recorded commands of a database, by form."""
        return self._examples.pop(database, {})


def slow_plans(database: Database[dict[str, Any]], examples: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Explain the commands with MongoDB, and return a description of each slow one."""
    found: list[str] = []
    for form, command in examples.items():
        explained_command = {
            name: value for name, value in command.items() if name not in DRIVER_OPTIONS and name[0] != "$"
        }
        if "hint" in command:
            explained_command["hint"] = command["hint"]
        for writes in ("updates", "deletes"):
            if writes in explained_command:
                explained_command[writes] = explained_command[writes][:1]
        explained = database.command("explain", explained_command, verbosity="queryPlanner")
        found.extend(f"{form}: {SLOW[stage]}" for stage in _stages(explained) if stage in SLOW)
    return found


def _stages(explained: Any) -> Iterator[str]:  # noqa: ANN401  a tree of JSON
    if isinstance(explained, dict):
        for name, value in cast("dict[str, Any]", explained).items():
            if name == "stage":
                yield value
            elif name != "rejectedPlans":
                yield from _stages(value)
    elif isinstance(explained, list):
        for value in cast("list[Any]", explained):
            yield from _stages(value)


def _form(name: str, command: Mapping[str, Any]) -> str:
    """Return the form of a command without its values, such as `find visits {'_id': 'str'}`."""
    filters = [command.get("filter"), command.get("query"), command.get("pipeline"), command.get("sort")]
    filters.extend(write["q"] for writes in ("updates", "deletes") for write in command.get(writes, [])[:1])
    return f"{name} {command[name]} {[_without_values(one) for one in filters if one is not None]}"


def _without_values(value: Any) -> Any:  # noqa: ANN401  likewise
    if isinstance(value, Mapping):
        return {name: _without_values(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_values(inner) for inner in value[:1]]
    return type(value).__name__
