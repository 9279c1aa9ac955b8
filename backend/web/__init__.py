"""Shared by all HTTP routes: requests, errors, OpenAPI, idempotency, uncached responses and fast paths."""
