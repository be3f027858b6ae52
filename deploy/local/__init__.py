"""The platform on one machine, without Java, Docker, Kafka or Postgres installed on it."""
