"""Prepare a MongoDB: collections, indexes, and validators derived from the Structs."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import inspect
from pymongo import IndexModel, MongoClient
from pymongo.database import Database

from backend.store import Document, Index
from backend.store.mongo.store import DATABASE, client_options
from backend.store.query import index_name, indexed_fields

SCHEMA_MILLISECONDS = 3_600_000
"""Indexing a whole city takes long."""

_SIMPLE: Mapping[type[inspect.Type], Sequence[str]] = {
    inspect.NoneType: ("null",),
    inspect.BoolType: ("bool",),
    inspect.IntType: ("int", "long"),
    inspect.FloatType: ("double",),
    inspect.StrType: ("string",),
    inspect.BytesType: ("binData",),
    inspect.DateTimeType: ("date",),
    inspect.DateType: ("string",),
    inspect.DictType: ("object",),
}


def prepare(url: str, kinds: Sequence[type[Document]]) -> None:
    """Create or update collections, indexes and validators as declared. Raises PyMongoError.

    It is idempotent. Indexes that are no longer declared are dropped after the others were created; the index of the
    shard key, which an operator or the cluster created, is kept.
    """
    with MongoClient[dict[str, Any]](url, **client_options(SCHEMA_MILLISECONDS)) as client:
        database = client.get_default_database(DATABASE)
        existing = set(database.list_collection_names())
        for kind in kinds:
            if kind.collection not in existing:
                database.create_collection(kind.collection)
            database.command("collMod", kind.collection, validator=validator(kind), validationLevel="strict")
            _make_indexes(database, kind)


def _make_indexes(database: Database[dict[str, Any]], kind: type[Document]) -> None:
    collection = database[kind.collection]
    declared = {index_name(index): index for index in kind.indexes}
    indexes = collection.index_information()
    existing = {name for name, index in indexes.items() if dict(index["key"]) not in ({"_id": 1}, dict(kind.shard_key))}
    if missing := [_model(name, index) for name, index in declared.items() if name not in existing]:
        collection.create_indexes(missing)
    for name in existing - declared.keys():
        collection.drop_index(name)


def _model(name: str, index: Index) -> IndexModel:
    keys = [*index.fields, *([index.ordered] if index.ordered else []), *([] if index.unique else ["_id"])]
    if not index.unique:
        return IndexModel(keys, name=name)
    partial_filter = {field: {"$exists": True} for field in index.fields}
    return IndexModel(keys, name=name, unique=True, partialFilterExpression=partial_filter)


def validator(kind: type[Document]) -> dict[str, Any]:
    """Return the $jsonSchema of a collection, so that MongoDB refuses documents with another structure.

    Fields with a default may be missing, so that a new field does not block the previous edition while it still runs.
    """
    described = inspect.type_info(kind)
    assert isinstance(described, inspect.StructType), "documents are Structs"
    schema = _struct(described)
    schema["properties"]["_id"] = schema["properties"].pop("id")
    optional = set(indexed_fields(kind))
    schema["required"] = ["_id", "revision", *(name for name in schema["required"] if name not in {"id", *optional})]
    return {"$jsonSchema": schema}


def _schema(type_info: inspect.Type) -> dict[str, Any]:
    match type_info:
        case inspect.Metadata():
            return _schema(type_info.type)
        case inspect.UnionType():
            return _union([_schema(member) for member in type_info.types])
        case inspect.LiteralType():
            return {"enum": list(type_info.values)}
        case inspect.EnumType():
            return {"enum": [member.value for member in type_info.cls]}
        case inspect.StructType():
            return _struct(type_info)
        case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
            return {"bsonType": "array", "items": _schema(type_info.item_type)}
        case _:
            return {"bsonType": list(_SIMPLE[type(type_info)])}


def _struct(type_info: inspect.StructType) -> dict[str, Any]:
    properties = {field.encode_name: _schema(field.type) for field in type_info.fields}
    required = [field.encode_name for field in type_info.fields if field.required]
    if type_info.tag_field is not None:
        properties[type_info.tag_field] = {"enum": [type_info.tag]}
        required.append(type_info.tag_field)
    schema: dict[str, Any] = {"bsonType": "object", "properties": properties}
    return schema | ({"required": required} if required else {})


def _union(members: Sequence[dict[str, Any]]) -> dict[str, Any]:
    simple = [name for member in members if set(member) == {"bsonType"} for name in _names(member["bsonType"])]
    others = [member for member in members if set(member) != {"bsonType"}]
    if not others:
        return {"bsonType": simple}
    return {"anyOf": [*others, *([{"bsonType": simple}] if simple else [])]}


def _names(bson_type: str | Sequence[str]) -> Sequence[str]:
    return [bson_type] if isinstance(bson_type, str) else bson_type


def shard_commands(database: str, kinds: Sequence[type[Document]]) -> list[str]:
    """Return the commands that shard the collections in a cluster, one for each."""
    return [
        f"sh.shardCollection('{database}.{kind.collection}', {msgspec.json.encode(kind.shard_key).decode()})"
        for kind in kinds
        if kind.shard_key
    ]
