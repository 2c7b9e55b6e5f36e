"""A task's templates as files: rendered before it starts, rendered again when what they show changes."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kokiris.kernel.errors import BadInput, HostError
from kokiris.kernel.templates.evaluation import Evaluation
from kokiris.kernel.templates.syntax import parse
from kokiris.kernel.units import SECOND_NS
from kokiris.orchestrator.model.task import Template
from kokiris.worker.drivers.contract import TaskFolders
from kokiris.worker.tasks.environment import interpolate
from kokiris.worker.tasks.runner import TemplateChange
from kokiris.worker.templates.functions import Lookups
from kokiris.worker.templates.services import ServiceWatcher
from kokiris.worker.templates.variables import TaskVariables

PATIENCE_S = 3.0
"""How long data may be missing before the task's events say what is awaited."""


@dataclass(slots=True)
class _Rendered:
    template: Template
    name: str
    path: Path
    text: str | None = None
    rewritten: bool = False
    """The last write has changed the file."""


class TemplateSet:
    """All templates of one task. `env` gives the task's environment as it is now."""

    def __init__(
        self,
        templates: Sequence[Template],
        folders: TaskFolders,
        env: Callable[[], dict[str, str]],
        services: ServiceWatcher,
        variables: TaskVariables | None = None,
    ) -> None:
        self._templates = templates
        self._variables = variables
        self._folders = folders
        self._env = env
        self._services = services
        self._rendered: list[_Rendered] = []
        self._news = asyncio.Event()
        self._listening: set[str] = set()

    async def first_render(self, say: Callable[[str], None]) -> dict[str, str]:
        """Writes all files, once all they need is known. Raises TemplateError, BadInput, HostError."""
        env = self._env()
        self._rendered = [self._prepared(template, env) for template in self._templates]
        said = False
        while True:
            self._news.clear()
            missing = self._render_all(env)
            if not missing:
                break
            try:
                await asyncio.wait_for(self._news.wait(), None if said else PATIENCE_S)
            except TimeoutError:
                said = True
                say("Missing: " + ", ".join(sorted(missing)))
        extra: dict[str, str] = {}
        for one in self._rendered:
            self._write(one)
            if one.template.Envvars:
                extra.update(variables(one.name, one.text or ""))
        return extra

    async def watch(self, act: Callable[[TemplateChange], None]) -> None:
        """For ever. One act per wave of changes: a restart makes signals needless."""
        if not self._rendered:  # the task was found again after the worker's return
            await self.first_render(lambda _: None)
            await self._act_on([one for one in self._rendered if one.rewritten], act)
        while True:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(self._settle_s())
            before = [one.text for one in self._rendered]
            if self._render_all(self._env()):
                continue
            changed = [
                one
                for one, old in zip(self._rendered, before, strict=True)
                if one.text != old and not one.template.Once
            ]
            for one in changed:
                self._write(one)
            await self._act_on(changed, act)

    def close(self) -> None:
        """Listens no more."""
        self._services.leave(self._news.set)
        if self._variables is not None:
            self._variables.close()
        self._listening.clear()

    async def _act_on(self, changed: Sequence[_Rendered], act: Callable[[TemplateChange], None]) -> None:
        modes = {one.template.ChangeMode or "restart" for one in changed} - {"noop"}
        if not modes:
            return
        splay_s = max(one.template.Splay for one in changed) / SECOND_NS
        await asyncio.sleep(splay_s * random.random())  # noqa: S311 - spreads restarts
        if "restart" in modes:
            act(TemplateChange("Template with change_mode restart re-rendered"))
            return
        for signal in sorted({t.template.ChangeSignal for t in changed if t.template.ChangeMode == "signal"}):
            act(TemplateChange("Template re-rendered", signal=signal or "SIGHUP"))
        for one in changed:
            script = one.template.ChangeScript
            if one.template.ChangeMode == "script" and script is not None:
                act(
                    TemplateChange(
                        "Template re-rendered",
                        command=[script.Command, *(script.Args or ())],
                        timeout_s=script.Timeout / SECOND_NS,
                        fail_on_error=script.FailOnError,
                    )
                )

    def _settle_s(self) -> float:
        """The templates' `wait.min`: the longest."""
        return max(((t.Wait.Min if t.Wait else 0) for t in self._templates), default=0) / SECOND_NS

    def _render_all(self, env: Mapping[str, str]) -> set[str]:
        """What is still missing; texts are replaced only when nothing is."""
        texts: list[str] = []
        wanted: set[str] = set()
        missing: set[str] = set()
        uses_variables = False
        for one in self._rendered:
            template = one.template
            nodes = parse(one.name, self._source(one, env), template.LeftDelim, template.RightDelim)
            lookups = Lookups(
                env,
                self._services.instances,
                variables=self._variables,
                missing_key_is_error=template.ErrMissingKey,
            )
            texts.append(Evaluation(one.name, lookups.functions()).render(nodes))
            wanted |= lookups.services
            missing |= lookups.missing
            uses_variables = uses_variables or lookups.uses_variables
        if uses_variables and self._variables is not None:
            self._variables.listen(self._news.set)
        for name in wanted - self._listening:
            self._services.listen(name, self._news.set)
        self._listening |= wanted
        if not missing:
            for one, text in zip(self._rendered, texts, strict=True):
                one.text = text
        return missing

    def _prepared(self, template: Template, env: Mapping[str, str]) -> _Rendered:
        name = interpolate(template.DestPath, env)
        return _Rendered(template, name, place(name, self._folders, env))

    def _source(self, one: _Rendered, env: Mapping[str, str]) -> str:
        if not one.template.SourcePath:
            return one.template.EmbeddedTmpl
        path = place(interpolate(one.template.SourcePath, env), self._folders, env)
        try:
            return path.read_text()
        except OSError as error:
            raise BadInput(f'template "{one.name}": cannot read its source {path.name}: {error.strerror}') from error

    def _write(self, one: _Rendered) -> None:
        """In one step; a file that is so already is left alone."""
        data = (one.text or "").encode()
        try:
            perms = int(one.template.Perms or "0644", 8)
        except ValueError:
            raise BadInput(f'template "{one.name}": perms "{one.template.Perms}" is not an octal mode') from None
        try:
            one.rewritten = not one.path.exists() or one.path.read_bytes() != data
            if not one.rewritten:
                return
            one.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = one.path.with_name(f".{one.path.name}.new")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                os.fchmod(descriptor, perms)
                if one.template.Uid > 0 or one.template.Gid > 0:
                    os.fchown(descriptor, max(0, one.template.Uid), max(0, one.template.Gid))
            temporary.replace(one.path)
        except OSError as error:
            raise HostError(f'template "{one.name}" cannot be written: {error.strerror}') from error


def place(path: str, folders: TaskFolders, env: Mapping[str, str]) -> Path:
    """The file on the node that a task's path means. Raises BadInput for one outside of the task's folders."""
    task_root = folders.local.parent
    for variable, folder in (
        ("NOMAD_ALLOC_DIR", folders.shared),
        ("NOMAD_TASK_DIR", folders.local),
        ("NOMAD_SECRETS_DIR", folders.secrets),
    ):
        inside = env.get(variable, "")
        if inside and (path == inside or path.startswith(f"{inside}/")):
            return _within(folder / path[len(inside) :].lstrip("/"), (folder,), path)
    if path.startswith("/"):
        raise BadInput(
            f'template path "{path}" is outside of the task\'s folders', next_step="Use local/… or secrets/…"
        )
    return _within(task_root / path, (task_root, folders.shared), path)


def _within(path: Path, roots: Sequence[Path], shown: str) -> Path:
    """Links are followed: a task must not lead us out of its folders."""
    real = path.resolve()
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        raise BadInput(
            f'template path "{shown}" is outside of the task\'s folders', next_step="Use local/… or secrets/…"
        )
    return real


def variables(name: str, text: str) -> dict[str, str]:
    """`KEY=value` lines; empty lines and # comments are skipped, quotes around values removed. Raises BadInput."""
    found: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip().removeprefix("export ")
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            raise BadInput(f'template "{name}": line {number} of its result is not KEY=value')
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        found[key.strip()] = value
    return found
