"""A stand-in for the services."""
