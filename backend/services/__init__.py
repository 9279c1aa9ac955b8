"""What citizens get from the city: one folder for each service."""
