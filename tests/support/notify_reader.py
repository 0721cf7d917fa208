#!/usr/bin/env python3
"""A receiver of notifications that shares no code with guest-init.

usage: notify_reader.py SOCKET

It treats a connection as systemd does (src/vmspawn/vmspawn.c, read_vsock_notify): it accepts, reads to the end of file
and at most 4,096 bytes, splits at line ends, and of each key the first line counts. Then it closes and takes the next
connection. For each message it prints one object of JSON: what systemd understands of it, and the names of all keys.
"""

import json
import socket
import sys

MOST = 4096  # NOTIFY_BUFFER_MAX, which is PIPE_BUF


def message_of(connection):
    """All bytes up to the end of file."""
    message = b""
    while piece := connection.recv(MOST):
        message += piece
        if len(message) > MOST:
            sys.exit("a message is too long for systemd")
    return message.decode()


def understood(message):
    """What systemd understands of a message."""
    fields = {}
    for line in message.replace("\r", "\n").split("\n"):
        key, separator, value = line.partition("=")
        if separator:
            fields.setdefault(key, value)
    return {
        "ready": fields.get("READY") == "1",
        "status": fields.get("STATUS"),
        "errno": int(fields.get("ERRNO", 0)),
        "exit_status": int(fields.get("EXIT_STATUS", 0)),
        "keys": list(fields),
    }


with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    listener.listen()
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(300)
            text = message_of(connection)
            # Printed before the connection is closed: a VM that got the end of file may end at once.
            print(json.dumps(understood(text)), flush=True)
