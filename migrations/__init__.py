"""Changes of stored documents, numbered, forward only."""
