"""What to do when an image cannot be pulled: reasons as dockerd 20.10 words them."""

from __future__ import annotations

import pytest

from kokiris.worker.drivers.pull_advice import pull_advice


@pytest.mark.parametrize(
    ("image", "reason", "logged_in", "wanted"),
    [
        ("r.x/a:1", "manifest for r.x/a:1 not found: manifest unknown", False, "push the image first"),
        ("r.x/a:1", 'Get "https://r.x/v2/": dial tcp: lookup r.x: no such host', False, "cannot reach r.x"),
        ("h:1/a", 'Get "http://h:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused', False, "cannot reach h:1"),
        ("r.x/a", 'Get "https://r.x/v2/": x509: certificate signed by unknown authority', False,
         "/etc/docker/certs.d/r.x/ca.crt"),
        ("r.x/a", 'Head "https://r.x/v2/a/manifests/x": unauthorized: incorrect username or password', True, "`auth`"),
        ("r.x/a", "pull access denied for r.x/a, repository does not exist or may require 'docker login'", False,
         "give username and password in `auth`"),
        ("Upper/a", "no such image: Upper/a: invalid reference format: repository name must be lowercase", False,
         "in lower case"),
        ("busybox:1", 'Get "https://registry-1.docker.io/v2/": dial tcp: i/o timeout', False, "HOST/busybox:1"),
        ("r.x/a", "write /var/lib/docker/tmp/x: no space left on device", False, "Free space"),
        ("r.x/a", "not pulled within 300 s (image_pull_timeout)", False, "cannot reach r.x"),
        ("r.x/a", "the servers gave no right to pull it: the client's registry r.x does not answer", False,
         "kokiris registry status"),
        ("r.x/a", "something new", False, "Check the image's name and tag"),
    ],
)  # fmt: skip
def test_the_next_step_follows_from_the_reason(image: str, reason: str, logged_in: bool, wanted: str) -> None:
    assert wanted in pull_advice(image, reason, logged_in=logged_in)


def test_docker_io_is_only_explained_to_who_did_not_name_it() -> None:
    assert "docker.io was asked" not in pull_advice("docker.io/library/nginx", "manifest unknown", logged_in=False)
