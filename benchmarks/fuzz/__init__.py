"""Bad input of every kind: calls to each route of each service, and records straight onto topics."""
