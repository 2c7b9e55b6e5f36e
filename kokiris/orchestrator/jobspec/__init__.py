"""The job language: HCL2 and JSON job files, canonical form, validation, and what this version acts on."""

from kokiris.orchestrator.jobspec.canonical import canonical
from kokiris.orchestrator.jobspec.change import is_destructive
from kokiris.orchestrator.jobspec.hcl import parse_hcl
from kokiris.orchestrator.jobspec.source import render_error

__all__ = ["canonical", "is_destructive", "parse_hcl", "render_error"]
