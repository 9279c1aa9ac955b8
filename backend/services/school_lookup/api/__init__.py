"""The routes of the school lookup, by subject, and their request and response bodies."""
