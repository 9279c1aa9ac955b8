"""Rule modules: reading YAML, checking it, and running its cases."""
