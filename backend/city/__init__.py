"""The city that every service shares: its context, its services and integrations, people, upstreams, rule releases."""
