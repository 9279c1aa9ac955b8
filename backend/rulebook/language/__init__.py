"""The condition language, a typed profile of CEL: parser, types, operations, compiler and explainer."""
