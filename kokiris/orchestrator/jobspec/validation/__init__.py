"""Whether a canonical job makes sense; messages as Nomad's where it has one."""

from kokiris.orchestrator.jobspec.validation.job import validate
from kokiris.orchestrator.jobspec.validation.warnings import warnings

__all__ = ["validate", "warnings"]
