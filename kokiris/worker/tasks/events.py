"""The lines of a task's history, in Nomad's vocabulary: types, fields and the message people read. Pure."""

from __future__ import annotations

from kokiris.kernel.units import format_duration
from kokiris.orchestrator.model.allocwire import TaskEvent

KEPT_EVENTS = 30
"""Older ones are dropped. Nomad keeps 10; a service that fails under its usual policy has about 15, and whoever
collects them may be away for a while."""


def received(now_ns: int) -> TaskEvent:
    """The worker has taken the task on."""
    return TaskEvent(Type="Received", Time=now_ns, DisplayMessage="Task received by client")


def setup(now_ns: int, message: str) -> TaskEvent:
    """A step before the start."""
    return TaskEvent(
        Type="Task Setup", Time=now_ns, Message=message, DisplayMessage=message, Details={"message": message}
    )


def setup_failure(now_ns: int, message: str) -> TaskEvent:
    """What was asked for cannot be set up; starting again would not help."""
    return TaskEvent(
        Type="Setup Failure",
        Time=now_ns,
        SetupError=message,
        DisplayMessage=message,
        FailsTask=True,
        Details={"fails_task": "true", "setup_error": message},
    )


def driver_message(now_ns: int, message: str) -> TaskEvent:
    """The driver says what it is doing (pulling an image…)."""
    return TaskEvent(
        Type="Driver",
        Time=now_ns,
        DriverMessage=message,
        DisplayMessage=message,
        Details={"driver_message": message},
    )


def driver_failure(now_ns: int, error: str) -> TaskEvent:
    """The driver could not start the task."""
    return TaskEvent(
        Type="Driver Failure", Time=now_ns, DriverError=error, DisplayMessage=error, Details={"driver_error": error}
    )


def started(now_ns: int) -> TaskEvent:
    """It runs."""
    return TaskEvent(Type="Started", Time=now_ns, DisplayMessage="Task started by client")


def terminated(
    now_ns: int, *, exit_code: int, signal: int = 0, oom_killed: bool = False, message: str = ""
) -> TaskEvent:
    """It ended by itself or was killed."""
    text = f"Exit Code: {exit_code}"
    if signal:
        text += f", Signal: {signal}"
    said = "OOM Killed" if oom_killed else message
    if said:
        text += f', Exit Message: "{said}"'
    details = {"exit_code": str(exit_code), "signal": str(signal), "oom_killed": str(oom_killed).lower()}
    if said:
        details["exit_message"] = said
    return TaskEvent(
        Type="Terminated",
        Time=now_ns,
        ExitCode=exit_code,
        Signal=signal,
        Message=said,
        DisplayMessage=text,
        Details=details,
    )


def restarting(now_ns: int, reason: str, delay_ns: int) -> TaskEvent:
    """It will be started again after `delay_ns`."""
    return TaskEvent(
        Type="Restarting",
        Time=now_ns,
        RestartReason=reason,
        StartDelay=delay_ns,
        DisplayMessage=f"{reason} - Task restarting in {format_duration(delay_ns)}",
        Details={"restart_reason": reason, "start_delay": str(delay_ns)},
    )


def not_restarting(now_ns: int, reason: str, *, fails_task: bool = True) -> TaskEvent:
    """The restart policy is exhausted, or the error was final."""
    return TaskEvent(
        Type="Not Restarting",
        Time=now_ns,
        RestartReason=reason,
        FailsTask=fails_task,
        DisplayMessage=reason or "Task exceeded restart policy",
        Details={"restart_reason": reason, "fails_task": str(fails_task).lower()},
    )


def restart_signaled(now_ns: int, reason: str) -> TaskEvent:
    """Somebody, a template or a check asks for a restart."""
    return TaskEvent(
        Type="Restart Signaled",
        Time=now_ns,
        RestartReason=reason,
        DisplayMessage=reason or "Task signaled to restart",
        Details={"restart_reason": reason},
    )


def signaling(now_ns: int, signal: str, reason: str) -> TaskEvent:
    """A signal is sent to it."""
    shown = f"Task being sent signal {signal}: {reason}" if reason else f"Task being sent signal {signal}"
    return TaskEvent(
        Type="Signaling",
        Time=now_ns,
        TaskSignal=signal,
        TaskSignalReason=reason,
        DisplayMessage=shown,
        Details={"signal": signal, "task_signal_reason": reason},
    )


def killing(now_ns: int, timeout_ns: int, reason: str = "") -> TaskEvent:
    """The kill signal has been sent."""
    shown = reason or f"Sent interrupt. Waiting {format_duration(timeout_ns)} before force killing"
    details = {"kill_timeout": format_duration(timeout_ns)}
    if reason:
        details["kill_reason"] = reason
    return TaskEvent(
        Type="Killing", Time=now_ns, KillTimeout=timeout_ns, KillReason=reason, DisplayMessage=shown, Details=details
    )


def killed(now_ns: int, error: str = "") -> TaskEvent:
    """It is gone."""
    return TaskEvent(
        Type="Killed",
        Time=now_ns,
        KillError=error,
        DisplayMessage=error or "Task successfully killed",
        Details={"kill_error": error} if error else {},
    )


def shutdown_delay(now_ns: int, delay_ns: int) -> TaskEvent:
    """Deregistered, and given time to be forgotten by its callers."""
    text = f"Waiting for shutdown_delay of {format_duration(delay_ns)} before killing the task."
    return TaskEvent(Type="Waiting for shutdown delay", Time=now_ns, Message=text, DisplayMessage=text)


def sibling_failed(now_ns: int, sibling: str) -> TaskEvent:
    """Another task of the group failed for good."""
    return TaskEvent(
        Type="Sibling Task Failed",
        Time=now_ns,
        FailedSibling=sibling,
        DisplayMessage=f'Task\'s sibling "{sibling}" failed',
        Details={"failed_sibling": sibling},
    )


def leader_dead(now_ns: int) -> TaskEvent:
    """The group's leader ended."""
    return TaskEvent(Type="Leader Task Dead", Time=now_ns, DisplayMessage="Leader Task in Group dead")


def main_dead(now_ns: int) -> TaskEvent:
    """All main tasks ended: sidecars go."""
    return TaskEvent(Type="Main Tasks Dead", Time=now_ns, DisplayMessage="Main tasks in the group died")


def failed_restoring(now_ns: int, message: str) -> TaskEvent:
    """After the worker's return, what it ran was not there any more."""
    text = f"failed to restore task; {message}"
    return TaskEvent(Type="Failed Restoring Task", Time=now_ns, DriverError=text, DisplayMessage=text)


def template(now_ns: int, message: str) -> TaskEvent:
    """What a template waits for."""
    return TaskEvent(
        Type="Template", Time=now_ns, Message=message, DisplayMessage=message, Details={"message": message}
    )


def hook_message(now_ns: int, message: str) -> TaskEvent:
    """A remark that changes nothing."""
    return TaskEvent(Type="Task hook message", Time=now_ns, Message=message, DisplayMessage=message)


def appended(events: list[TaskEvent] | None, event: TaskEvent) -> list[TaskEvent]:
    """`events` and `event`, the newest `KEPT_EVENTS` of them."""
    return [*(events or ()), event][-KEPT_EVENTS:]
