"""The MongoDB adapter of the store."""
