"""Variables in templates: what is awaited, what is refused, what changes."""

from __future__ import annotations

import asyncio

import pytest

from kokiris.kernel.templates.evaluation import Evaluation
from kokiris.kernel.templates.syntax import parse
from kokiris.kernel.templates.tree import TemplateError
from kokiris.worker.client import TaskVariable, TaskVariableList
from kokiris.worker.templates.functions import Lookups
from kokiris.worker.templates.variables import TaskVariables

READABLE = ["nomad/jobs/web", "kokiris/db/shop"]
SHOP = TaskVariable(Namespace="default", Path="kokiris/db/shop", ModifyIndex=7, Items={"user": "u", "password": "p&<"})


class Source:
    """Answers the next list when a test gives one."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[TaskVariableList] = asyncio.Queue()

    def give(self, index: int, *variables: TaskVariable) -> None:
        self.answers.put_nowait(TaskVariableList(Index=index, Readable=READABLE, Variables=list(variables)))

    async def task_variables(self, alloc_id: str, task: str, index: int, wait_s: float) -> TaskVariableList:
        return await self.answers.get()


async def known(*given: TaskVariable) -> TaskVariables:
    source = Source()
    source.give(1, *given)
    variables = TaskVariables(source, "alloc", "web")
    news = asyncio.Event()
    variables.listen(news.set)
    await asyncio.wait_for(news.wait(), 60)
    variables.close()
    return variables


def render(source: str, variables: TaskVariables) -> tuple[str, set[str]]:
    lookups = Lookups({}, lambda _: [], variables=variables)
    return Evaluation("t", lookups.functions()).render(parse("t", source, "", "")), lookups.missing


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('{{ with nomadVar "kokiris/db/shop" }}{{ .user }}:{{ .password }}{{ end }}', "u:p&<"),
        ('{{ range $k, $v := nomadVar "kokiris/db/shop" }}{{ $k }}={{ $v }};{{ end }}', "password=p&<;user=u;"),
        ('{{ range nomadVarList "kokiris" }}{{ .Path }}{{ end }}', "kokiris/db/shop"),
        ("{{ range nomadVarList }}{{ .ModifyIndex }}{{ end }}", "7"),
        ('{{ if nomadVarExists "nomad/jobs/web" }}a{{ else }}b{{ end }}', "b"),
        ('{{ with nomadVar "kokiris/db/shop" }}{{ range .Tuples }}{{ .K }} {{ end }}{{ end }}', "password user "),
        ('{{ with nomadVar "kokiris/db/shop@default" }}{{ .Metadata.Path }}{{ end }}', "kokiris/db/shop"),
    ],
)
async def test_what_templates_read(source: str, text: str) -> None:
    assert render(source, await known(SHOP)) == (text, set())


async def test_what_does_not_exist_yet_is_awaited() -> None:
    _, missing = render('{{ with nomadVar "nomad/jobs/web" }}{{ .x }}{{ end }}', await known(SHOP))
    assert missing == {"variable nomad/jobs/web"}


async def test_before_the_first_answer_everything_is_awaited() -> None:
    _, missing = render('{{ (nomadVar "kokiris/db/shop").user }}', TaskVariables(Source(), "a", "t"))
    assert missing == {"variables"}


async def test_other_variables_are_refused() -> None:
    variables = await known(SHOP)
    with pytest.raises(TemplateError, match='may not read variable "nomad/jobs/other"'):
        render('{{ nomadVar "nomad/jobs/other" }}', variables)


async def test_only_changes_are_told() -> None:
    source = Source()
    variables = TaskVariables(source, "alloc", "web")
    told = asyncio.Queue[None]()
    variables.listen(lambda: told.put_nowait(None))
    source.give(1, SHOP)
    await asyncio.wait_for(told.get(), 60)
    source.give(2, SHOP)
    source.give(3)
    await asyncio.wait_for(told.get(), 60)
    assert variables.known() == {}
    assert told.empty()
    variables.close()


def test_nothing_shows_a_value() -> None:
    assert "p&<" not in repr(SHOP)
