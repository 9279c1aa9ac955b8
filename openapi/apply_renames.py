"""Apply renames.yaml to an older OpenAPI document, and compare the result with the document of today.

`python openapi/apply_renames.py OLD.yaml` prints what differs apart from descriptions, and exits with 1 if anything
does. renames.yaml is written in the names of the older document.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

HERE = Path(__file__).parent
SCHEMA = "#/components/schemas/"
PROSE = ("description", "summary", "title")
"""Members that are text for people; the title of a schema is compared as its name."""


def main(old_file: Path) -> int:
    """Print the differences between the renamed old document and the new one; return how many there are."""
    old, renames = read(old_file), read(HERE / "renames.yaml")
    new = read(HERE / "openapi.yaml")
    found = list(differences(normal(renamed_document(old, renames)), normal(new), ""))
    print("\n".join(found) or "the renamed document is the document of today")  # noqa: T201  the command's output
    return int(bool(found))


def read(file: Path) -> Any:  # noqa: ANN401  any YAML
    """Read a YAML file."""
    return YAML(typ="safe").load(file.read_text(encoding="utf-8"))


def renamed_document(old: Any, renames: Mapping[str, Any]) -> Any:  # noqa: ANN401  an OpenAPI document
    """Return the old document under the new names."""
    schemas: Mapping[str, str] = renames["schemas"]
    document = renamed_parts(old, renames)
    document["components"]["schemas"] = {
        schemas.get(name, name): renamed_schema(name, schema, renames)
        for name, schema in old["components"]["schemas"].items()
    }
    document["paths"] = {renames["paths"].get(path, path): operations for path, operations in document["paths"].items()}
    return document


def renamed_schema(name: str, schema: Any, renames: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Return one schema with its properties and the words of its closed sets renamed."""
    properties: Mapping[str, str] = renames["properties"].get(name, {})
    values = {key.partition(".")[2]: words for key, words in renames["values"].items() if key.partition(".")[0] == name}
    made = renamed_parts(schema, renames)
    if "" in values:  # the schema itself is a closed set
        made["enum"] = [values[""].get(word, word) for word in made["enum"]]
    if "properties" in made:
        made["properties"] = {
            properties.get(field, field): renamed_words(part, values.get(field, {}))
            for field, part in made["properties"].items()
        }
    if "required" in made:
        made["required"] = [properties.get(field, field) for field in made["required"]]
    return made


def renamed_words(part: Any, words: Mapping[str, str]) -> Any:  # noqa: ANN401
    """Return a property's schema with the words of its enum and default replaced, wherever they stand in it."""
    if isinstance(part, list):
        return [renamed_words(item, words) for item in part]
    if not isinstance(part, dict):
        return part
    return {
        key: [words.get(word, word) for word in value]
        if key == "enum"
        else words.get(value, value)
        if key in ("const", "default") and isinstance(value, str)
        else renamed_words(value, words)
        for key, value in part.items()
    }


def renamed_parts(part: Any, renames: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Return any part of the document with references, Problem types, operation ids and parameters renamed."""
    if isinstance(part, list):
        return [renamed_parts(item, renames) for item in part]
    if isinstance(part, dict):
        made = {key: renamed_parts(value, renames) for key, value in part.items()}
        if "operationId" in made:
            made["operationId"] = renames["operations"].get(made["operationId"], made["operationId"])
        if made.get("in") in ("path", "query", "header"):
            made["name"] = renames["parameters"].get(made["name"], made["name"])
        return made
    if isinstance(part, str) and part.startswith(SCHEMA):
        name = part.removeprefix(SCHEMA)
        return SCHEMA + renames["schemas"].get(name, name)
    if isinstance(part, str) and part.startswith("/problems/"):
        types = {kebab(old): kebab(new) for old, new in renames["schemas"].items()}
        name = part.removeprefix("/problems/")
        return "/problems/" + types.get(name, name)
    return part


def kebab(name: str) -> str:
    """Return the name of a Problem's class as its type has it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def normal(part: Any, *, of_names: bool = False) -> Any:  # noqa: ANN401
    """Return a part without prose, and with lists whose order means nothing sorted and freed of repetitions."""
    if isinstance(part, list):
        parts = sorted((normal(item) for item in part), key=repr)
        return [item for number, item in enumerate(parts) if item not in parts[:number]]
    if isinstance(part, dict):
        made = {
            key: normal(value, of_names=key in ("properties", "schemas", "paths", "responses", "mapping"))
            for key, value in part.items()
            if of_names or key not in PROSE
        }
        alternatives = made.get("oneOf")
        return alternatives[0] if isinstance(alternatives, list) and len(alternatives) == 1 else made
    return part


def differences(old: Any, new: Any, place: str) -> "list[str]":  # noqa: ANN401
    """Return where two documents differ, a line for each place."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            line
            for key in keys
            for line in (
                differences(old[key], new[key], f"{place}/{key}")
                if key in old and key in new
                else [f"{place}/{key}: only in the {'renamed' if key in old else 'new'} document"]
            )
        ]
    return [] if old == new else [f"{place}: {old!r:.300} != {new!r:.300}"]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
