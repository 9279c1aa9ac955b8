"""The API reference as one HTML page, generated from the OpenAPI document, without scripts or other servers."""

import re
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9em }
details { border: 1px solid #8886; border-radius: .4rem; margin: .4rem 0; padding: .4rem .8rem }
summary { cursor: pointer } summary b { display: inline-block; min-width: 4.5rem }
table { border-collapse: collapse; width: 100% } td, th { border-top: 1px solid #8886; padding: .2rem .6rem .2rem 0 }
td, th { text-align: left; vertical-align: top } small { opacity: .7 }
"""


def reference_page(document: dict[str, Any]) -> str:
    """Return the document as HTML: the operations of each service, then the schemas."""
    info = document["info"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])}</title>",
        "<meta name=viewport content='width=device-width'>",
        f"<style>{_STYLE}</style><h1>{escape(info['title'])}</h1><p>{_prose(info['description'])}</p>",
        "<p>The document: <a href=/openapi.json>/openapi.json</a>, <a href=/openapi.yaml>/openapi.yaml</a></p>",
    ]
    operations = [
        (path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()
    ]
    titles = {tag["name"]: tag["description"] for tag in document.get("tags", ())}
    for tag in dict.fromkeys(tag for _, _, operation in operations for tag in operation["tags"]):
        parts.append(f"<h2>{escape(titles.get(tag, tag))}</h2>")
        parts.extend(_operation(*operation) for operation in operations if tag in operation[2]["tags"])
    parts.append("<h2>Schemas</h2>")
    parts.extend(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    return "\n".join(parts)


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    lock = " <small>access token</small>" if operation.get("security") else ""
    rows = [
        _row(f"{parameter['name']} <small>{parameter['in']}</small>", _type_text(parameter["schema"]))
        for parameter in operation.get("parameters", ())
    ]
    rows.extend(
        _row("body", f"{escape(media)} {_type_text(content['schema'])}")
        for media, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    for status, response in operation["responses"].items():
        types = " ".join(_type_text(content.get("schema", {})) for content in response.get("content", {}).values())
        rows.append(_row(escape(status), f"{escape(response['description'])} {types}"))
    name, summary = escape(operation["operationId"]), _prose(operation.get("summary", ""))
    description = _prose(operation.get("description", ""))
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> {summary}{lock}</summary>"
        f"<p id={name}>{description}</p><table>{''.join(rows)}</table></details>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        _row(
            escape(field) + ("" if field in required else " <small>optional</small>"),
            f"{_type_text(property_schema)} {escape(property_schema.get('description', ''))}",
        )
        for field, property_schema in schema.get("properties", {}).items()
    ]
    body = f"<table>{''.join(rows)}</table>" if rows else _type_text(schema)
    description = escape(schema.get("description", ""))
    return (
        f"<details id={escape(name)}><summary><code>{escape(name)}</code></summary><p>{description}</p>{body}</details>"
    )


def _type_text(schema: dict[str, Any]) -> str:
    """Return a schema in a few words, such as "array of string" or a link to a named schema."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    for joiner, word in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " with ")):
        if joiner in schema:
            return word.join(_type_text(part) for part in schema[joiner])
    if "properties" in schema and "type" not in schema:
        return escape(", ".join(f"{name} = {part.get('const')!r}" for name, part in schema["properties"].items()))
    if "enum" in schema:
        return escape(" | ".join(str(value) for value in schema["enum"]))
    kind: Any = schema.get("type", "anything")
    words = kind if isinstance(kind, str) else " or ".join(kind)
    if "items" in schema:
        return f"{words} of {_type_text(schema['items'])}"
    limits = ("format", "pattern", "minLength", "maxLength", "minimum", "maximum", "default")
    limit_text = " ".join(f"{limit} {schema[limit]}" for limit in limits if limit in schema)
    return f"{escape(words)} <small>{escape(limit_text)}</small>"


def _row(head: str, cell: str) -> str:
    return f"<tr><th>{head}</th><td>{cell}</td></tr>"
