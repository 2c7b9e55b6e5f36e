"""The lines of a task's history (Nomad's task events), in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from kokiris.kernel.units import SECOND_NS, format_duration
from kokiris.logs.collect.events.entry import EventEntry, sentence_end
from kokiris.logs.model import Document
from kokiris.orchestrator.model.allocwire import TaskEvent

_OUT_OF_MEMORY = "OOM Killed"
_ERRORS = frozenset(
    {"Driver Failure", "Setup Failure", "Not Restarting", "Failed Validation", "Failed Artifact Download"}
)
_SAID = frozenset({"Driver", "Task Setup", "Template", "Task hook message", "Signaling"})
"""What these say is a sentence of its own."""
_WARNINGS = frozenset(
    {"Restarting", "Restart Signaled", "Failed Restoring Task", "Sibling Task Failed", "Disk Resources Exceeded"}
)


def of_task(whose: str, alloc_id: str, task: str, events: Sequence[TaskEvent], fields: Document) -> list[EventEntry]:
    """An entry per event. `whose` is the allocation's name, `fields` are those of its entries."""
    return [
        EventEntry(
            identifier=f"{alloc_id}.{task}.event.{event.Time:x}.{event.Type.replace(' ', '')}",
            time_ns=event.Time,
            kind="Allocation",
            type=event.Type.title().replace(" ", ""),
            level=_level(events, number),
            message=f"Task {task} of {whose}{_words(event)}",
            fields={**fields, "task": task, **_details(event)},
        )
        for number, event in enumerate(events)
        if event.Time > 0
    ]


def _level(events: Sequence[TaskEvent], number: int) -> str:
    event = events[number]
    if event.Type == "Terminated":
        failed = event.ExitCode != 0 or event.Signal != 0 or _out_of_memory(event)
        return "error" if failed and (_out_of_memory(event) or not _wanted(events[:number])) else "info"
    if event.Type in _ERRORS or (event.Type == "Killed" and event.KillError):
        return "error"
    return "warn" if event.Type in _WARNINGS else "info"


def _wanted(before: Sequence[TaskEvent]) -> bool:
    """Whether it ended because it was told to: since it was started, its kill signal has been sent."""
    for event in reversed(before):
        if event.Type == "Killing":
            return True
        if event.Type == "Started":
            return False
    return False


def _out_of_memory(event: TaskEvent) -> bool:
    return (event.Details or {}).get("oom_killed") == "true" or _OUT_OF_MEMORY in event.Message


def _words(event: TaskEvent) -> str:
    said = sentence_end(event.DisplayMessage or event.Message)
    if event.Type in _SAID:
        return f": {said}"
    words = {
        "Received": "was received by its node",
        "Started": "started",
        "Driver Failure": f"could not be started: {event.DriverError or said}",
        "Setup Failure": f"could not be set up: {event.SetupError or said}",
        "Terminated": _end(event),
        "Restarting": f"starts again in {_about(event.StartDelay)}: {event.RestartReason or said}",
        "Not Restarting": f"is not started again: {event.RestartReason or said}",
        "Restart Signaled": f"is restarted: {event.RestartReason or said}",
        "Killing": f"is being stopped: {said}",
        "Killed": f"could not be stopped: {event.KillError}" if event.KillError else "is stopped",
        "Sibling Task Failed": f"is stopped, because task {event.FailedSibling} of its group failed",
        "Failed Restoring Task": f"was not found any more when its node came back: {event.DriverError or said}",
    }
    known = words.get(event.Type)
    return f" {known}" if known else f" ({event.Type}): {said}"


def _about(duration_ns: int) -> str:
    """To the tenth of a second."""
    step_ns = SECOND_NS // 10
    return format_duration(round(duration_ns / step_ns) * step_ns)


def _end(event: TaskEvent) -> str:
    text = f"ended with exit code {event.ExitCode}"
    if event.Signal:
        text += f" by signal {event.Signal}"
    if _out_of_memory(event):
        return f"{text}: it used more memory than its limit and was killed (OOM)"
    return f"{text}: {sentence_end(event.Message)}" if event.Message else text


def _details(event: TaskEvent) -> Document:
    if event.Type != "Terminated":
        return {}
    return {"exit_code": event.ExitCode, "signal": event.Signal or None, "oom_killed": _out_of_memory(event) or None}
