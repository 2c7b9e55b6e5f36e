"""Errors only this API has."""

from __future__ import annotations

from kokiris.kernel.errors import NotSupported


class EnterpriseOnly(NotSupported):
    """An endpoint that exists only in Nomad Enterprise; clients probe for it and expect this very answer."""

    code = "enterprise_only"
    http_status = 501
    default_next_step = "Do without it: quotas, sentinel policies and recommendations are not part of this API."

    def __init__(self) -> None:
        super().__init__("Nomad Enterprise only endpoint")


class NotImplementedHere(NotSupported):
    """A part of the API that this version does not have."""

    code = "not_implemented"
    http_status = 501
