"""Validation messages, in Nomad's words."""

from __future__ import annotations

from typing import Any

import pytest

from kokiris.orchestrator.jobspec import canonical, multi_error, parse_hcl, validate, warnings


def errors(job: str = "", group: str = "", task: str = "", config: str = "") -> str:
    source = f"""job "j" {{
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
    return multi_error(validate(canonical(parse_hcl(source, filename="x"))))


CHECKED = 'service {\nport = "p"\ncheck {\nname = "c"\n%s\n}\n}\nnetwork {\nport "p" {}\n}'

TABLE: list[tuple[dict[str, str], str]] = [
    ({"job": 'id = "a b"'}, "Job ID contains a space"),
    ({"job": 'type = "cron"'}, 'Invalid job type: "cron"'),
    ({"job": "priority = 101"}, "Job priority must be between [1, 100]"),
    ({"job": 'datacenters = [""]'}, "Job datacenter must be non-empty string"),
    ({"job": 'constraint { attribute = "a" }'}, 'Operator "=" requires an RTarget'),
    ({"job": 'constraint { value = "a" }'}, "no attribute provided but is required by operator"),
    ({"job": 'constraint {\nattribute = "a"\noperator = "~"\nvalue = "x"\n}'}, 'Unknown constraint type "~"'),
    ({"job": 'constraint {\nattribute = "a"\nregexp = "("\n}'}, "Regular expression failed to compile"),
    ({"job": 'constraint {\nattribute = "a"\nversion = "new"\n}'}, "Version constraint is invalid"),
    ({"job": 'constraint {\nattribute = "a"\nsemver = "~1"\n}'}, "Semver constraint is invalid"),
    ({"job": 'constraint {\ndistinct_property = "a"\nvalue = "0"\n}'}, "must have an allowed count of 1 or greater"),
    ({"job": 'constraint {\ndistinct_property = "a"\nvalue = "x"\n}'}, 'Failed to convert RTarget "x"'),
    ({"job": 'constraint {\nis_set = "a"\nvalue = "b"\n}'}, 'Operator "is_set" does not support an RTarget'),
    ({"job": 'affinity {\nattribute = "a"\nvalue = "b"\nweight = 0\n}'}, "Affinity weight cannot be zero"),
    ({"job": 'affinity {\nattribute = "a"\nvalue = "b"\nweight = 101\n}'}, "within the range [-100,100]"),
    ({"job": "spread {}"}, "Missing spread attribute"),
    (
        {"job": 'spread {\nattribute = "a"\ntarget "x" { percent = 60 }\ntarget "y" { percent = 50 }\n}'},
        "must not be greater than 100%; got 110%",
    ),
    ({"job": 'type = "system"\nspread { attribute = "a" }'}, "System jobs may not have a spread block"),
    ({"job": 'type = "system"', "group": "count = 2"}, "Count cannot exceed 1 with system scheduler"),
    ({"job": 'type = "system"', "group": "reschedule {}"}, "should not have a reschedule policy"),
    ({"job": 'type = "batch"', "group": "update {}"}, 'Job type "batch" does not allow update block'),
    ({"job": 'type = "batch"', "group": "migrate {}"}, 'Job type "batch" does not allow migrate block'),
    ({"job": 'type = "service"\nperiodic { cron = "@daily" }'}, "Periodic can only be used with"),
    ({"job": "parameterized {}"}, "Parameterized job can only be used with"),
    ({"group": "count = -1"}, "Task group count can't be negative"),
    ({"group": "count = 50001"}, "50001 > 50000"),
    ({"group": 'restart { mode = "x" }'}, 'Unsupported restart mode: "x"'),
    ({"group": 'restart {\nattempts = 0\nmode = "delay"\n}'}, "with 0 attempts is ambiguous"),
    ({"group": 'restart { interval = "1s" }'}, "Interval can not be less than 5s (got 1s)"),
    ({"group": 'restart {\nattempts = 9\ninterval = "1m"\n}'}, "can't restart the TaskGroup 9 times"),
    ({"group": 'reschedule { delay = "1s" }'}, "Delay cannot be less than 5s (got 1s)"),
    ({"group": 'reschedule { delay_function = "x" }'}, 'Invalid delay function "x"'),
    ({"group": "reschedule { attempts = 2 }"}, "Unlimited cannot also be set to true"),
    ({"group": 'reschedule { max_delay = "6s" }'}, "Max Delay cannot be less than Delay 30s (got 6s)"),
    ({"group": 'update { health_check = "x" }'}, 'Invalid health check given: "x"'),
    ({"group": "update { auto_promote = true }"}, "Auto Promote requires a Canary count greater than zero"),
    ({"group": 'update { healthy_deadline = "5s" }'}, "Minimum healthy time must be less than healthy deadline"),
    ({"group": 'update { progress_deadline = "1m" }'}, "Healthy deadline must be less than progress deadline"),
    ({"group": "ephemeral_disk { size = 5 }"}, "minimum DiskMB value is 10; got 5"),
    (
        {"group": 'network {\nport "a" { static = 80 }\nport "b" { static = 80 }\n}'},
        "Static port 80 already reserved by",
    ),
    ({"group": 'network {\nport "a" {}\nport "a" {}\n}'}, "Port label a already in use"),
    ({"group": 'network {\nport "a" { static = 70000 }\n}'}, "cannot be greater than 65535"),
    ({"group": 'network {\nport "a" { to = -2 }\n}'}, "cannot be mapped to negative value -2"),
    ({"group": "network {}\nnetwork {}"}, "only one network block"),
    ({"group": 'network { hostname = "a b" }'}, "Hostname is not a valid DNS name"),
    ({"group": 'volume "v" { type = "nfs" }'}, 'volume has unrecognized type "nfs"'),
    ({"group": "scaling {\nmin = 5\nmax = 2\n}"}, "maximum count must not be less than minimum count"),
    ({"group": "count = 9\nscaling {\nmin = 1\nmax = 2\n}"}, "must not be greater than maximum count"),
    ({"group": 'service { name = "a_b" }'}, "must be valid per RFC 1123"),
    ({"group": 'service { port = "nope" }'}, 'port label "nope" referenced by services j-g does not exist'),
    ({"group": 'service { provider = "x" }'}, 'Service provider must be "consul", or "nomad"; not "x"'),
    (
        {"group": 'service {\nname = "a"\nprovider = "nomad"\n}\nservice { name = "b" }'},
        "Multiple service providers used",
    ),
    ({"group": 'service { address_mode = "driver" }'}, 'cannot use address_mode="driver"'),
    ({"group": 'service { task = "x" }'}, "refers to non-existent task x"),
    ({"group": "service {}\nservice {}"}, 'service "j-g" is duplicate'),
    ({"group": CHECKED % 'type = "ping"'}, 'invalid check type ("ping"), must be one of tcp, http, grpc, script'),
    ({"group": CHECKED % 'type = "http"'}, "http type must have http path"),
    ({"group": CHECKED % 'type = "http"\npath = "http://x/"'}, "http type must have relative http path"),
    ({"group": CHECKED % 'type = "tcp"'}, "missing required value interval. Interval cannot be less than 1s"),
    ({"group": CHECKED % 'type = "tcp"\ninterval = "10ms"'}, "interval (10ms) cannot be lower than 1s"),
    ({"group": CHECKED % 'type = "tcp"\ninterval = "10s"'}, "missing required value timeout"),
    (
        {"group": CHECKED % 'type = "tcp"\ninterval = "10s"\ntimeout = "1ms"'},
        "timeout (1ms) is lower than required minimum timeout 1s",
    ),
    (
        {"group": 'service {\ncheck {\nname = "c"\ntype = "tcp"\ninterval = "1s"\ntimeout = "1s"\n}\n}'},
        "check requires a port but neither check nor service",
    ),
    ({"task": "kill_timeout = -5"}, "KillTimeout must be a positive value"),
    ({"task": 'kill_timeout = "1h"'}, "longer than the group's ProgressDeadline"),
    ({"task": "resources { cpu = 0 }"}, "minimum CPU value is 1; got 0"),
    ({"task": "resources { memory = 5 }"}, "minimum MemoryMB value is 10; got 5"),
    ({"task": "resources { memory_max = 5 }"}, "MemoryMaxMB value (5) should be larger than MemoryMB value (300)"),
    ({"task": "resources {\ncpu = 5\ncores = 5\n}"}, "Task can only ask for 'cpu' or 'cores' resource, not both."),
    ({"task": "logs { max_files = 0 }"}, "minimum number of files is 1; got 0"),
    ({"task": "logs { max_files = 100 }"}, "log storage (1000 MB) must be less than requested disk capacity (300 MB)"),
    ({"task": 'lifecycle { hook = "x" }'}, "Lifecycle validation failed: invalid hook: x"),
    ({"task": 'lifecycle { hook = "prestart" }'}, "Task group g must have at least one main task"),
    ({"task": 'template { data = "x" }'}, "Must specify a destination for the template"),
    ({"task": 'template { destination = "x" }'}, "Must specify a source path or have an embedded template"),
    ({"task": 'template {\ndata = "x"\ndestination = "../../x"\n}'}, "destination escapes allocation directory"),
    ({"task": 'template {\ndata = "x"\ndestination = "x"\nperms = "9"\n}'}, 'Failed to parse "9" as octal'),
    ({"task": 'template {\ndata = "x"\ndestination = "x"\nchange_mode = "y"\n}'}, "Invalid change mode"),
    ({"task": 'volume_mount { volume = "v" }'}, "Volume Mount (0) references undefined volume v"),
    ({"task": "constraint { distinct_hosts = true }"}, "disallowed Operand at task level"),
    ({"config": "imag = 1"}, 'config: unsupported argument "imag"; did you mean "image"?'),
    ({"config": 'ports = ["x"]'}, 'config: port "x" is not declared'),
    ({"config": 'force_pull = "often"'}, 'argument "force_pull" must be true or false, found a string'),
    ({"config": "args = 5"}, 'argument "args" must be a list of strings, found a number'),
    ({"config": 'auth { user = "x" }'}, 'unsupported argument "auth.user"; did you mean "username"?'),
]


@pytest.mark.parametrize(("parts", "message"), TABLE, ids=[message[:60] for _, message in TABLE])
def test_message(parts: dict[str, str], message: str) -> None:
    assert message in errors(**parts)


def test_a_plain_job_is_valid() -> None:
    assert errors() == ""


RAW: list[tuple[dict[str, Any], str]] = [
    ({}, "Missing job ID"),
    ({}, "Missing job name"),
    ({"ID": "x"}, "Missing job task groups"),
    ({"ID": "x", "TaskGroups": [{}]}, "Job task group 1 missing name"),
    ({"ID": "x", "TaskGroups": [{"Name": "a"}, {"Name": "a"}]}, "Job task group 2 redefines 'a' from group 1"),
    ({"ID": "x", "TaskGroups": [{"Name": "a"}]}, "Missing tasks for task group"),
    ({"ID": "x", "TaskGroups": [{"Name": "a", "Tasks": [{}]}]}, "Task 1 missing name"),
    ({"ID": "x", "TaskGroups": [{"Name": "a", "Tasks": [{"Name": "t"}]}]}, "Missing task driver"),
    ({"ID": "x", "TaskGroups": [{"Name": "a", "Tasks": [{"Name": "a/b"}]}]}, "Task name cannot include slashes"),
    ({"ID": "x", "TaskGroups": [{"Name": "a", "Tasks": [{"Name": "alloc"}]}]}, 'Task cannot be named "alloc"'),
    (
        {"ID": "x", "TaskGroups": [{"Name": "a", "Tasks": [{"Name": "t"}, {"Name": "t"}]}]},
        "Task 2 redefines 't' from task 1",
    ),
    (
        {
            "ID": "x",
            "TaskGroups": [{"Name": "a", "Tasks": [{"Name": "s", "Leader": True}, {"Name": "t", "Leader": True}]}],
        },
        "Only one task may be marked as leader",
    ),
    (
        {"ID": "x", "TaskGroups": [{"Name": "a", "Tasks": [{"Name": "t", "Driver": "docker"}]}]},
        'config: missing required argument "image"',
    ),
    (
        {"ID": "x", "TaskGroups": [{"Name": "a", "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}]},
        'config: missing required argument "command"',
    ),
]


@pytest.mark.parametrize(("raw", "message"), RAW, ids=[message for _, message in RAW])
def test_message_for_json(raw: dict[str, Any], message: str) -> None:
    assert message in multi_error(validate(canonical(raw)))


def test_the_form_of_several_errors() -> None:
    assert multi_error([]) == ""
    assert multi_error(["a"]) == "1 error occurred:\n\t* a\n\n"
    assert multi_error(["a", "b"]) == "2 errors occurred:\n\t* a\n\t* b\n\n"
    assert validate(canonical({"ID": "x", "TaskGroups": [{"Name": "a"}]})) == [
        "Task group a validation failed: 1 error occurred:\n\t* Missing tasks for task group\n\n"
    ]


def test_warnings() -> None:
    def warned(group: str, image: str = "i:1", more: str = "") -> list[str]:
        task = f'task "t" {{\ndriver = "docker"\nconfig {{ image = "{image}" }}\n{more}\n}}'
        source = f'job "j" {{\ngroup "g" {{\n{group}\n{task}\n}}\n}}'
        return warnings(canonical(parse_hcl(source, filename="x")))

    assert warned("") == []
    assert "(5 > 2)" in warned("count = 2\nupdate { max_parallel = 5 }")[0]
    assert "no autoscaler" in warned("scaling {\nmax = 2\npolicy { a = 1 }\n}")[0]
    assert "no fixed tag" in warned("", "example/app")[0]
    assert "no fixed tag" in warned("", "registry.example.org:5000/app:latest")[0]
    assert warned("", "app@sha256:0") == []
    assert warned("", "${meta.image}") == []
    assert "resources.disk is ignored" in warned("", more="resources { disk = 5 }")[0]
