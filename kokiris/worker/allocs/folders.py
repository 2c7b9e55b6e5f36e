"""An allocation's folders: `<alloc id>/alloc/{data,logs,tmp}` shared, `<alloc id>/<task>/{local,secrets,tmp}` each."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
from collections.abc import Iterable
from pathlib import Path

from kokiris.infra.config import Layout
from kokiris.kernel.errors import HostError
from kokiris.worker.drivers.contract import TaskFolders

OPEN_MODE = 0o777
"""Containers run as any user; what keeps others out is the closed folder above."""


class AllocFolders:
    """Of one allocation. `root` is what the file API shows; `private` is the worker's own, shown to nobody."""

    def __init__(self, layout: Layout, alloc_id: str) -> None:
        self.root = layout.allocs / alloc_id
        self.private = layout.worker / "allocs" / alloc_id
        self.shared = self.root / "alloc"
        self.logs = self.shared / "logs"

    def make(self) -> None:
        """Idempotent. Raises HostError when the disk refuses."""
        try:
            _folder(self.root.parent, 0o711)
            _folder(self.root, 0o711)
            _folder(self.private.parent, 0o700)
            _folder(self.private, 0o700)
            for path in (self.shared, self.shared / "data", self.logs, self.shared / "tmp"):
                _folder(path, OPEN_MODE)
        except OSError as error:
            raise HostError(f"cannot make the allocation's folder {self.root}: {error.strerror}") from error

    def make_task(self, task: str, *, user: str = "", on_host: bool = False) -> TaskFolders:
        """The task's folders. `on_host`: the task runs outside a container, as `user`, and must get at them itself."""
        folders = self.task(task)
        try:
            _folder(self.root / task, 0o711 if on_host else 0o700)
            _folder(folders.local, OPEN_MODE)
            _folder(self.root / task / "tmp", OPEN_MODE)
            _folder(folders.secrets, 0o700 if on_host else OPEN_MODE)
            _folder(folders.private, 0o700)
            if on_host and user:
                account = pwd.getpwnam(user)
                os.chown(folders.secrets, account.pw_uid, account.pw_gid)
        except (OSError, KeyError) as error:
            raise HostError(f'cannot make the folders of task "{task}": {error}') from error
        return folders

    def task(self, task: str) -> TaskFolders:
        """Their paths."""
        return TaskFolders(
            shared=self.shared,
            local=self.root / task / "local",
            secrets=self.root / task / "secrets",
            private=self.private / task,
        )

    def remove_secrets(self, tasks: Iterable[str]) -> None:
        """What those tasks were given in `secrets/`, once nothing of them runs any more. Idempotent."""
        for task in tasks:
            shutil.rmtree(self.task(task).secrets, ignore_errors=True)

    def remove(self) -> None:
        """All of it."""
        for path in (self.root, self.private):
            shutil.rmtree(path, ignore_errors=True)

    def remove_files(self) -> None:
        """What users see; the worker's own record stays until the servers have forgotten the allocation."""
        shutil.rmtree(self.root, ignore_errors=True)

    def size_bytes(self) -> int:
        """Of all files below `root`."""
        total = 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                with contextlib.suppress(OSError):
                    total += (Path(folder) / name).lstat().st_size
        return total


def _folder(path: Path, mode: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
