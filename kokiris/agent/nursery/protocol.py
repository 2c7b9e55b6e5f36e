"""What agent and nursery say to each other: JSON, one packet each (SOCK_SEQPACKET), a connection per child."""

from __future__ import annotations

import msgspec

from kokiris.agent.processes import PidRecord

PACKET_BYTES = 65536
MAX_DESCRIPTORS = 16


class Birth(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Asks for a child that becomes `python -m MODULE ARGUMENT …`, recorded in its pid file before it does anything."""

    argv: list[str]
    log_file: str
    pid_file: str
    fingerprint: str
    descriptors: list[int] = []
    """The numbers at which the child finds the descriptors that come with the packet, in the same order."""


class Answer(msgspec.Struct, kw_only=True):
    """Comes back first: who was born (or runs already, by the pid file), or why nobody was."""

    child: PidRecord | None = None
    ran_already: bool = False
    refusal: str = ""


class Ended(msgspec.Struct, kw_only=True):
    """Comes last, unless the nursery ended before: the child's exit code, negative for the signal that killed it."""

    code: int
