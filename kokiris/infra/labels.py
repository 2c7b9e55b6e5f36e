"""Labels on containers: whose they are. Two infras on one dockerd never touch each other's."""

from __future__ import annotations

import hashlib
from pathlib import Path

from kokiris.infra.config import Config

INFRA_LABEL = "kokiris.infra"
ALLOC_LABEL = "kokiris.alloc"
TASK_LABEL = "kokiris.task"


def infra_label(config: Config) -> str:
    """`<client>/<infra>@<8 hex>`: the digits are of the data folder, so that a test's demo/rec1 is not another's."""
    folder = str(Path(config.data_dir).resolve())
    return f"{config.name}@{hashlib.sha256(folder.encode()).hexdigest()[:8]}"
