"""What all HTTP routes share: errors, OpenAPI, idempotency and uncached responses."""
