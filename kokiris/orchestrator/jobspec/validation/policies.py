"""Restart, reschedule, update and migrate policies."""

from __future__ import annotations

from kokiris.kernel.units import SECOND_NS, format_duration
from kokiris.orchestrator.model.policy import (
    MigrateStrategy,
    ReschedulePolicySpec,
    RestartPolicySpec,
    UpdateStrategy,
)

MIN_RESTART_INTERVAL = 5 * SECOND_NS
MIN_RESCHEDULE_INTERVAL = 15 * SECOND_NS
MIN_RESCHEDULE_DELAY = 5 * SECOND_NS
DELAY_FUNCTIONS = ("constant", "exponential", "fibonacci")
HEALTH_CHECKS = ("checks", "task_states", "manual")


def restart_errors(policy: RestartPolicySpec) -> list[str]:
    """What is wrong with a restart policy."""
    errors: list[str] = []
    if policy.Mode not in {"delay", "fail"}:
        errors.append(f'Unsupported restart mode: "{policy.Mode}"')
    if policy.Attempts < 0:
        errors.append(f"Restart attempts can not be less than zero: {policy.Attempts} < 0")
    if policy.Attempts == 0 and policy.Mode != "fail":
        errors.append(f'Restart policy "{policy.Mode}" with {policy.Attempts} attempts is ambiguous')
    if policy.Interval < MIN_RESTART_INTERVAL:
        errors.append(
            f"Interval can not be less than {format_duration(MIN_RESTART_INTERVAL)}"
            f" (got {format_duration(policy.Interval)})"
        )
    if policy.Attempts * policy.Delay > policy.Interval:
        errors.append(
            f"Nomad can't restart the TaskGroup {policy.Attempts} times in an interval of"
            f" {format_duration(policy.Interval)} with a delay of {format_duration(policy.Delay)}"
        )
    return errors


def reschedule_errors(policy: ReschedulePolicySpec) -> list[str]:
    """What is wrong with a reschedule policy; one that is switched off is never wrong."""
    if policy.Attempts == 0 and not policy.Unlimited:
        return []
    errors: list[str] = []
    if policy.Attempts > 0:
        if policy.Interval <= 0:
            errors.append("Interval must be a non zero value if Attempts > 0")
        if policy.Unlimited:
            errors.append(
                f"Reschedule Policy with Attempts = {policy.Attempts}, Interval ="
                f" {format_duration(policy.Interval)}, and Unlimited = true is ambiguous"
            )
            errors.append("If Attempts >0, Unlimited cannot also be set to true")
    minimum = format_duration(MIN_RESCHEDULE_DELAY)
    if policy.Delay < MIN_RESCHEDULE_DELAY:
        errors.append(f"Delay cannot be less than {minimum} (got {format_duration(policy.Delay)})")
    if policy.DelayFunction not in DELAY_FUNCTIONS:
        listed = " ".join(f'"{name}"' for name in DELAY_FUNCTIONS)
        errors.append(f'Invalid delay function "{policy.DelayFunction}", must be one of [{listed}]')
    if policy.DelayFunction != "constant":
        if policy.MaxDelay < MIN_RESCHEDULE_DELAY:
            errors.append(f"Max Delay cannot be less than {minimum} (got {format_duration(policy.MaxDelay)})")
        if policy.MaxDelay < policy.Delay:
            errors.append(
                f"Max Delay cannot be less than Delay {format_duration(policy.Delay)}"
                f" (got {format_duration(policy.MaxDelay)})"
            )
    if not policy.Unlimited and 0 < policy.Interval < MIN_RESCHEDULE_INTERVAL:
        errors.append(
            f"Interval cannot be less than {format_duration(MIN_RESCHEDULE_INTERVAL)}"
            f" (got {format_duration(policy.Interval)})"
        )
    return errors


def update_errors(update: UpdateStrategy) -> list[str]:
    """What is wrong with an update policy; `max_parallel = 0` switches it off."""
    if update.MaxParallel == 0:
        return []
    errors: list[str] = []
    if update.HealthCheck not in HEALTH_CHECKS:
        errors.append(f'Invalid health check given: "{update.HealthCheck}"')
    if update.MaxParallel < 0:
        errors.append(f"Max parallel can not be less than zero: {update.MaxParallel} < 0")
    if update.Canary < 0:
        errors.append(f"Canary count can not be less than zero: {update.Canary} < 0")
    if update.Canary == 0 and update.AutoPromote:
        errors.append("Auto Promote requires a Canary count greater than zero")
    if update.MinHealthyTime < 0:
        errors.append(f"Minimum healthy time may not be less than zero: {format_duration(update.MinHealthyTime)}")
    if update.HealthyDeadline <= 0:
        errors.append(f"Healthy deadline must be greater than zero: {format_duration(update.HealthyDeadline)}")
    if update.ProgressDeadline < 0:
        errors.append(f"Progress deadline must be zero or greater: {format_duration(update.ProgressDeadline)}")
    if update.MinHealthyTime >= update.HealthyDeadline:
        errors.append(
            "Minimum healthy time must be less than healthy deadline:"
            f" {format_duration(update.MinHealthyTime)} > {format_duration(update.HealthyDeadline)}"
        )
    if update.ProgressDeadline != 0 and update.HealthyDeadline >= update.ProgressDeadline:
        errors.append(
            "Healthy deadline must be less than progress deadline:"
            f" {format_duration(update.HealthyDeadline)} > {format_duration(update.ProgressDeadline)}"
        )
    if update.Stagger <= 0:
        errors.append(f"Stagger must be greater than zero: {format_duration(update.Stagger)}")
    return errors


def migrate_errors(migrate: MigrateStrategy) -> list[str]:
    """What is wrong with a migrate policy."""
    errors: list[str] = []
    if migrate.MaxParallel < 0:
        errors.append(f"MaxParallel must be >= 0 but found {migrate.MaxParallel}")
    if migrate.HealthCheck not in {"checks", "task_states"}:
        errors.append(f'Invalid HealthCheck: "{migrate.HealthCheck}"')
    if migrate.MinHealthyTime < 0:
        errors.append(f"MinHealthyTime is {format_duration(migrate.MinHealthyTime)} and must be >= 0")
    if migrate.HealthyDeadline < 0:
        errors.append(f"HealthyDeadline is {format_duration(migrate.HealthyDeadline)} and must be >= 0")
    if migrate.MinHealthyTime > migrate.HealthyDeadline:
        errors.append("MinHealthyTime must be less than HealthyDeadline")
    return errors
