"""Placement and life-cycle policies of the job language. Field names are the wire's (Nomad's Appendix A)."""

from __future__ import annotations

import msgspec

from kokiris.kernel.units import MINUTE_NS, SECOND_NS


class Constraint(msgspec.Struct, kw_only=True):
    """A hard filter on nodes: `LTarget Operand RTarget`."""

    LTarget: str = ""
    RTarget: str = ""
    Operand: str = ""


class Affinity(msgspec.Struct, kw_only=True):
    """A soft preference for nodes, weight -100 to 100."""

    LTarget: str = ""
    RTarget: str = ""
    Operand: str = ""
    Weight: int = 50


class SpreadTargetSpec(msgspec.Struct, kw_only=True):
    """The share, in percent, that `Value` should get."""

    Value: str = ""
    Percent: int = 0


class Spread(msgspec.Struct, kw_only=True):
    """Even (or given) distribution over the values of a node attribute."""

    Attribute: str = ""
    Weight: int = 50
    SpreadTarget: list[SpreadTargetSpec] | None = None


class UpdateStrategy(msgspec.Struct, kw_only=True):
    """How a new version replaces the old one. Durations in ns."""

    Stagger: int = 30 * SECOND_NS
    MaxParallel: int = 1
    HealthCheck: str = "checks"
    MinHealthyTime: int = 10 * SECOND_NS
    HealthyDeadline: int = 5 * MINUTE_NS
    ProgressDeadline: int = 10 * MINUTE_NS
    Canary: int = 0
    AutoRevert: bool = False
    AutoPromote: bool = False


class MigrateStrategy(msgspec.Struct, kw_only=True):
    """How fast allocations leave a draining node. Durations in ns."""

    MaxParallel: int = 1
    HealthCheck: str = "checks"
    MinHealthyTime: int = 10 * SECOND_NS
    HealthyDeadline: int = 5 * MINUTE_NS


class RestartPolicySpec(msgspec.Struct, kw_only=True):
    """Restarts on the same node. Defaults depend on the job type: see `jobspec.canonical`."""

    Interval: int = 0
    Attempts: int = 0
    Delay: int = 0
    Mode: str = "fail"
    RenderTemplates: bool = False


class ReschedulePolicySpec(msgspec.Struct, kw_only=True):
    """Moves to another node after restarts failed. Defaults depend on the job type."""

    Attempts: int = 0
    Interval: int = 0
    Delay: int = 0
    DelayFunction: str = ""
    MaxDelay: int = 0
    Unlimited: bool = False


class DisconnectStrategy(msgspec.Struct, kw_only=True):
    """What happens while a node is silent."""

    LostAfter: int = 0
    StopOnClientAfter: int = 0
    Replace: bool = True
    Reconcile: str = "best_score"
