"""The PyPI client py-consul, unchanged, against the API over a real store."""

from __future__ import annotations

import consul
import pytest

from tests.discovery.conftest import SECRET, Api
from tests.discovery.conftest import api as api  # noqa: PLC0414 - the fixture, under the name tests ask for


@pytest.fixture
def client(api: Api) -> consul.Consul:
    """With the management token, also for the calls for which this library forgets to send it."""
    made = consul.Consul(host="127.0.0.1", port=api.port, token=SECRET)
    made.http.session.headers["X-Consul-Token"] = SECRET
    return made
