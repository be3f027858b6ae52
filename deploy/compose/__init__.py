"""The platform in containers on one machine: what docker-compose.yml mounts, and the commands around it."""
