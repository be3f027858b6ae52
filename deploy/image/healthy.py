"""Ends with 0 where the service of this container is ready. Imports little: it runs every few seconds."""

import os
import socket
import sys

PORT = int(os.environ.get("ITHACA_HTTP", "0.0.0.0:8000").rpartition(":")[2])

try:
    with socket.create_connection(("127.0.0.1", PORT), 4) as connection:
        connection.sendall(b"GET /health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n")
        status = connection.recv(64).split()
except OSError:
    sys.exit(1)
sys.exit(len(status) < 2 or status[1] != b"200")
