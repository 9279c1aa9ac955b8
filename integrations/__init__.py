"""Integrations: each package implements a port of a service, or adds an interface for other systems."""
