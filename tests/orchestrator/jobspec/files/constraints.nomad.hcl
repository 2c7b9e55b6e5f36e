job "constraints" {
  constraint {
    attribute = "${attr.os.version}"
    operator  = "version"
    value     = ">= 12, < 13"
  }
  constraint {
    attribute = "${attr.driver.docker.version}"
    version   = ">= 20.10"
  }
  constraint {
    attribute = "${attr.cpu.arch}"
    regexp    = "amd64|arm64"
  }
  constraint {
    distinct_property = "${meta.rack}"
    value             = "2"
  }
  constraint {
    attribute    = "${meta.features}"
    set_contains = "ssd,gpu"
  }
  constraint {
    operator  = "is_set"
    attribute = "${meta.zone}"
  }
  constraint {
    operator = "distinct_hosts"
    value    = "true"
  }
  affinity {
    attribute        = "${attr.platform}"
    set_contains_any = "a,b"
    weight           = -20
  }
  group "g" {
    task "t" {
      driver = "raw_exec"
      config { command = "/bin/true" }
      constraint {
        attribute = attr.memory.totalbytes
        operator  = ">"
        value     = 1024 * 1024
      }
    }
  }
}
