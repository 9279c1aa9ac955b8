"""The condition language: parser, types, operations, compiler and explainer of a typed profile of CEL."""
