"""Debian's python3-consul2, unchanged, under Debian's own Python: another `consul` than py-consul's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.discovery.conftest import SECRET, Api

SCRIPT = Path(__file__).with_name("consul2_session.py")


def test_leader_election_and_a_service_of_its_own(api: Api) -> None:
    environment = {**os.environ, "CONSUL_HTTP_TOKEN": SECRET, "PYTHONPATH": ""}
    command = ["/usr/bin/python3", str(SCRIPT), str(api.port)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "elect": {
            "got": True,
            "refused": False,
            "renewed": True,
            "leader": {"service/db/leader": ["a", True]},
            "after": [None, True],
            "taken over": True,
            "stale write": False,
            "released": True,
            "tree removed": True,
        },
        "register": {
            "registered": True,
            "healthy": [["10.1.1.1", 5432]],
            "services": {"db": ["primary"]},
            "leader": "127.0.0.1:4647",
            "left": [],
        },
    }
