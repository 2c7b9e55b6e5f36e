"""What its user can do about a container that dockerd could not start. Pure."""

from __future__ import annotations

ADVICE = (
    (
        ("address already in use", "port is already allocated"),
        "Another process of the node has this host port: choose another number, or a dynamic port.",
    ),
    (
        ("executable file not found", "no such file or directory: unknown"),
        "The image has no such program: check command, args and entrypoint.",
    ),
    (("exec format error",), "The image's program is for another kind of processor, or is no program."),
    (("permission denied: unknown",), "The program is not executable for this user: check the image and `user`."),
)
"""Any of these in dockerd's message → the next step."""


def start_advice(message: str) -> str | None:
    """None when the message has to speak for itself."""
    found = [advice for marks, advice in ADVICE if any(mark in message for mark in marks)]
    return found[0] if found else None
