"""Which school: a parent enters household registration and home, and knows in one tap."""
