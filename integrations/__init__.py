"""Outside help: each folder implements a port of a service."""
