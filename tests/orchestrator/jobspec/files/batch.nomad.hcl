job "import" {
  type = "batch"

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  group "import" {
    reschedule {
      attempts  = 3
      interval  = "15m"
      delay     = "30s"
      unlimited = false
    }

    task "fetch" {
      driver = "raw_exec"
      lifecycle {
        hook = "prestart"
      }
      config {
        command = "/bin/sh"
        args    = ["-c", "echo fetch > ${NOMAD_ALLOC_DIR}/data"]
      }
      resources {
        cpu    = 50
        memory = 20
      }
    }

    task "load" {
      driver       = "raw_exec"
      kill_timeout = "20s"
      user         = "nobody"
      leader       = true
      config {
        command = "/bin/cat"
        args    = ["${NOMAD_ALLOC_DIR}/data"]
      }
      logs {
        max_files     = 3
        max_file_size = 5
      }
    }
  }
}
