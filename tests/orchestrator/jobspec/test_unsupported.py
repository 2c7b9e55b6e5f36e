"""What is not acted on is named with its place; the page in docs says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kokiris.orchestrator.jobspec import canonical, parse_hcl, unsupported
from kokiris.orchestrator.jobspec.acted import REFUSED
from kokiris.orchestrator.jobspec.compatibility import page
from kokiris.orchestrator.jobspec.dockerkeys import DOCKER_KEYS

ROOT = Path(__file__).parents[3]


def refused(job: str = "", group: str = "", task: str = "", config: str = "", head: str = "") -> list[str]:
    source = f"""job "j" {{
  {head}
  {job}
  group "g" {{
    {group}
    task "t" {{
      driver = "docker"
      config {{
        image = "i:1"
        {config}
      }}
      {task}
    }}
  }}
}}"""
    return unsupported(canonical(parse_hcl(source, filename="x")))


TABLE: list[tuple[dict[str, str], str]] = [
    ({"job": 'periodic { cron = "@daily" }'}, 'job: block "periodic"'),
    ({"job": "parameterized {}"}, 'job: block "parameterized"'),
    ({"job": "multiregion {}"}, 'job: block "multiregion"'),
    ({"job": 'type = "sysbatch"'}, 'job: type "sysbatch"'),
    ({"job": "all_at_once = true"}, 'job: argument "all_at_once"'),
    ({"job": 'region = "eu"'}, 'job: argument "region"'),
    ({"job": 'consul_namespace = "x"'}, 'job: argument "consul_namespace"'),
    ({"job": 'vault_namespace = "x"'}, 'job: argument "vault_namespace"'),
    ({"group": "disconnect {}"}, 'group "g": block "disconnect"'),
    ({"group": 'max_run_duration = "1h"'}, 'group "g": argument "max_run_duration"'),
    ({"group": 'stop_after_client_disconnect = "1h"'}, 'group "g": argument "stop_after_client_disconnect"'),
    ({"group": 'max_client_disconnect = "1h"'}, 'group "g": argument "max_client_disconnect"'),
    ({"group": "prevent_reschedule_on_lost = true"}, 'group "g": argument "prevent_reschedule_on_lost"'),
    ({"group": 'consul { namespace = "x" }'}, 'group "g": block "consul"'),
    ({"group": "ephemeral_disk { sticky = true }"}, 'group "g": argument "ephemeral_disk.sticky"'),
    ({"group": "ephemeral_disk { migrate = true }"}, 'group "g": argument "ephemeral_disk.migrate"'),
    ({"group": "restart { render_templates = true }"}, 'group "g": argument "restart.render_templates"'),
    ({"group": 'network { mode = "cni/x" }'}, 'group "g": network mode "cni/x"'),
    ({"group": "network {\ncni {\nargs { a = 1 }\n}\n}"}, 'group "g": block "network.cni"'),
    ({"group": 'network { device = "x" }'}, 'group "g": argument "network.device"'),
    ({"group": 'network { cidr = "x" }'}, 'group "g": argument "network.cidr"'),
    ({"group": 'network { ip = "x" }'}, 'group "g": argument "network.ip"'),
    ({"group": 'network {\nport "p" { host_network = "x" }\n}'}, 'group "g" port "p": argument "port.host_network"'),
    (
        {"group": 'network {\nport "p" { ignore_collision = true }\n}'},
        'group "g" port "p": argument "port.ignore_collision"',
    ),
    ({"group": 'volume "v" { type = "csi" }'}, 'group "g" volume "v": volume type "csi"'),
    ({"group": 'volume "v" { sticky = true }'}, 'group "g" volume "v": argument "volume.sticky"'),
    ({"group": 'volume "v" { per_alloc = true }'}, 'group "g" volume "v": argument "volume.per_alloc"'),
    (
        {"group": 'volume "v" {\nmount_options { fs_type = "x" }\n}'},
        'group "g" volume "v": block "volume.mount_options"',
    ),
    ({"task": 'artifact { source = "x" }'}, 'group "g" task "t": block "artifact"'),
    ({"task": "vault {}"}, 'group "g" task "t": block "vault"'),
    ({"group": "vault {}"}, 'group "g" task "t": block "vault"'),
    ({"task": 'consul { cluster = "x" }'}, 'group "g" task "t": block "consul"'),
    ({"task": 'secret "x" {}'}, 'group "g" task "t": block "secret"'),
    ({"task": "identity { env = true }"}, 'group "g" task "t": block "identity"'),
    ({"task": 'identity { name = "x" }'}, 'group "g" task "t": block "identity"'),
    ({"task": 'action "x" { command = "y" }'}, 'group "g" task "t": block "action"'),
    ({"task": "schedule {}"}, 'group "g" task "t": block "schedule"'),
    ({"task": 'dispatch_payload { file = "x" }'}, 'group "g" task "t": block "dispatch_payload"'),
    ({"task": 'csi_plugin { id = "x" }'}, 'group "g" task "t": block "csi_plugin"'),
    ({"task": 'scaling "cpu" { max = 1 }'}, 'group "g" task "t": block "scaling"'),
    ({"task": 'kind = "x"'}, 'group "g" task "t": argument "kind"'),
    ({"task": "resources { cores = 1 }"}, 'group "g" task "t": argument "resources.cores"'),
    ({"task": "resources { secrets = 1 }"}, 'group "g" task "t": argument "resources.secrets"'),
    ({"task": 'resources {\ndevice "x" {}\n}'}, 'group "g" task "t": block "resources.device"'),
    ({"task": 'resources {\nnuma { affinity = "x" }\n}'}, 'group "g" task "t": block "resources.numa"'),
    ({"task": 'resources {\nnetwork { mode = "host" }\n}'}, 'group "g" task "t": block "resources.network"'),
    ({"task": "logs { disabled = true }"}, 'group "g" task "t": argument "logs.disabled"'),
    ({"task": "restart { render_templates = true }"}, 'group "g" task "t": argument "restart.render_templates"'),
    (
        {"task": 'template {\ndestination = "d"\nchange_mode = "script"\n}'},
        'group "g" task "t" template "d": template change_mode "script"',
    ),
    (
        {"task": 'template {\ndestination = "d"\nwait {\nmin = "1s"\nmax = "2s"\n}\n}'},
        'group "g" task "t" template "d": block "template.wait"',
    ),
    (
        {"task": 'volume_mount {\nvolume = "v"\nselinux_label = "z"\n}'},
        'group "g" task "t" volume_mount "v": argument "volume_mount.selinux_label"',
    ),
    ({"group": "service {\nconnect { native = true }\n}"}, 'group "g" service "j-g": block "connect"'),
    ({"group": "service {\nweights { passing = 2 }\n}"}, 'group "g" service "j-g": block "weights"'),
    ({"task": "service {\nidentity { env = true }\n}"}, 'group "g" task "t" service "j-g-t": block "identity"'),
    ({"group": "service {\ntagged_addresses { a = 1 }\n}"}, 'group "g" service "j-g": block "tagged_addresses"'),
    ({"group": "service { enable_tag_override = true }"}, 'group "g" service "j-g": argument "enable_tag_override"'),
    ({"group": 'service { kind = "x" }'}, 'group "g" service "j-g": argument "kind"'),
    ({"group": 'service { cluster = "x" }'}, 'group "g" service "j-g": argument "cluster"'),
    ({"group": 'service { address_mode = "alloc_ipv6" }'}, 'group "g" service "j-g": address_mode "alloc_ipv6"'),
    (
        {"group": 'service {\ncheck {\nname = "c"\ntype = "script"\n}\n}'},
        'group "g" service "j-g" check "c": check type "script"',
    ),
    (
        {"group": 'service {\ncheck {\nname = "c"\ntype = "grpc"\n}\n}'},
        'group "g" service "j-g" check "c": check type "grpc"',
    ),
    (
        {"group": 'service {\ncheck {\nname = "c"\nexpose = true\n}\n}'},
        'group "g" service "j-g" check "c": argument "check.expose"',
    ),
    (
        {"group": 'service {\ncheck {\nname = "c"\nadvertise = "x"\n}\n}'},
        'group "g" service "j-g" check "c": argument "check.advertise"',
    ),
    (
        {"group": 'service {\ncheck {\nname = "c"\naddress_mode = "alloc_ipv6"\n}\n}'},
        'group "g" service "j-g" check "c": address_mode "alloc_ipv6"',
    ),
]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ('a\n{{ key "x" }}', '2:4: function "key": the key/value store is not available to templates in this version'),
        (
            '{{ range ls "x" }}{{ end }}',
            '1:10: function "ls": the key/value store is not available to templates in this version',
        ),
        ('{{ if (env "A" | sprig_upper) }}{{ end }}', '1:8: function "sprig_upper" is not acted on by this version'),
        ('{{ with secret "x" }}{{ end }}', '1:9: function "secret": there is no Vault'),
        ("{{ if }}", "1:4: a value or function is missing"),
    ],
)
def test_what_a_template_cannot_do_is_known_before_it_runs(data: str, problem: str) -> None:
    found = refused(task=f'template {{\ndata = <<EOT\n{data}\nEOT\ndestination = "local/x"\n}}')
    assert found == [f'group "g" task "t" template "local/x": {problem}']


def test_delimiters_of_a_template_are_its_own() -> None:
    delimiters = 'left_delimiter = "[["\nright_delimiter = "]]"'
    text = f'template {{\ndata = "{{{{ nope }}}} [[ env `A` ]]"\ndestination = "local/x"\n{delimiters}\n}}'
    assert refused(task=text) == []


@pytest.mark.parametrize(("parts", "named"), TABLE, ids=[named for _, named in TABLE])
def test_named_with_its_place(parts: dict[str, str], named: str) -> None:
    notes = [refusal.note for listed in REFUSED.values() for refusal in listed if refusal.note]
    sentence = f"{named} is not acted on by this version"
    found = [one for one in refused(**parts) if one.startswith(sentence)]
    assert found in ([sentence], *([f"{sentence} ({note})"] for note in notes))


def test_every_refused_thing_is_in_the_table() -> None:
    rows = {refused.what for listed in REFUSED.values() for refused in listed}
    general = {"driver other than docker, raw_exec", "network mode other than host, bridge, none"}
    named = " ".join(named for _, named in TABLE)
    missing = {row for row in rows - general if f'"{row.rpartition(" ")[2]}"' not in named}
    assert not missing


def test_nothing_is_refused_in_a_plain_job() -> None:
    assert refused() == []


def test_other_drivers_are_named() -> None:
    source = 'job "j" {\n group "g" {\n task "t" {\n driver = "java"\n }\n }\n}'
    assert unsupported(canonical(parse_hcl(source, filename="x"))) == [
        'group "g" task "t": driver "java" is not acted on by this version (docker is)'
    ]


@pytest.mark.parametrize("key", [name for name, key in DOCKER_KEYS.items() if key.acted == "no"])
def test_refused_docker_keys(key: str) -> None:
    raw: dict[str, Any] = {
        "ID": "j",
        "TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Driver": "docker", "Config": {"image": "i", key: "x"}}]}],
    }
    note = DOCKER_KEYS[key].note
    assert unsupported(canonical(raw)) == [
        f'group "g" task "t" config: argument "{key}" is not acted on by this version' + (f" ({note})" if note else "")
    ]


HOST: list[tuple[str, str]] = [
    ("privileged = true", "privileged"),
    ('volumes = ["/etc:/x"]', '"/etc"'),
    ('volumes = ["../../x:/x"]', '"../../x"'),
    ('volumes = ["local/../../../x:/x"]', '"local/../../../x"'),
    ('volumes = ["~/x:/x"]', '"~/x"'),
    ('mount {\ntype = "bind"\nsource = "/etc"\ntarget = "/x"\n}', 'mount source "/etc"'),
    ('cap_add = ["SYS_ADMIN"]', '"SYS_ADMIN"'),
    ('security_opt = ["seccomp=unconfined"]', "seccomp"),
]


@pytest.mark.parametrize(("config", "named"), HOST)
def test_the_host_is_for_the_platform_only(config: str, named: str) -> None:
    (message,) = refused(config=config)
    assert named in message
    assert 'only allowed in the namespace "platform"' in message
    assert refused(config=config, head='namespace = "platform"') == []


@pytest.mark.parametrize(
    "config",
    [
        'volumes = ["local/conf:/conf:ro", "../alloc/data:/data", "secrets:/s"]',
        'cap_add = ["net_bind_service", "CAP_CHOWN"]',
        'security_opt = ["no-new-privileges"]',
        "privileged = false",
        'network_mode = "host"',
        'mount {\ntype = "tmpfs"\ntarget = "/x"\n}',
    ],
)
def test_what_stays_inside_the_allocation_is_fine(config: str) -> None:
    assert refused(config=config) == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('network_mode = "container:x"', 'network_mode "container:x"'),
        ('mount {\ntype = "volume"\ntarget = "/x"\n}', 'mount type "volume"'),
        ('mount {\ntype = "tmpfs"\ntarget = "/x"\nvolume_options {}\n}', ""),
    ],
)
def test_values_that_are_not_acted_on(config: str, message: str) -> None:
    assert all(message in found for found in refused(config=config))


def test_the_page_in_docs_is_made_from_the_same_data() -> None:
    assert (ROOT / "docs" / "compatibility.md").read_text() == page(), (
        "run: python -m kokiris.orchestrator.jobspec.compatibility > docs/compatibility.md"
    )
