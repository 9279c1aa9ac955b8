"""The embedded adapter of the store: one SQLite file."""
