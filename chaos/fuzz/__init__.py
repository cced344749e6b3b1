"""Hostile requests against the running service, and what every answer must be. See the row `fuzz` and `make fuzz`."""
