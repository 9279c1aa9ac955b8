"""Shared by all services: the City, services and integrations, people, upstreams, and rule releases."""
