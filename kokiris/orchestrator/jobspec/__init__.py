"""The job language: HCL2 and JSON job files, canonical form, validation, and what this version acts on."""

from kokiris.orchestrator.jobspec.canonical import canonical
from kokiris.orchestrator.jobspec.change import is_destructive
from kokiris.orchestrator.jobspec.hcl import parse_hcl
from kokiris.orchestrator.jobspec.jsonjob import parse_json
from kokiris.orchestrator.jobspec.multierror import multi_error
from kokiris.orchestrator.jobspec.places import with_places
from kokiris.orchestrator.jobspec.source import render_error
from kokiris.orchestrator.jobspec.unsupported import unsupported
from kokiris.orchestrator.jobspec.validation import validate, warnings

__all__ = [
    "canonical",
    "is_destructive",
    "multi_error",
    "parse_hcl",
    "parse_json",
    "render_error",
    "unsupported",
    "validate",
    "warnings",
    "with_places",
]
