"""The job language: HCL2 and JSON job files, canonical form, validation, and what this version acts on."""

from kokiris.orchestrator.jobspec.change import is_destructive

__all__ = ["is_destructive"]
