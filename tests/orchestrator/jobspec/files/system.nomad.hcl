job "agent" {
  type     = "system"
  priority = 90

  update {
    max_parallel = 1
  }

  group "agent" {
    task "agent" {
      driver = "docker"
      config {
        image    = "example/agent:3"
        pids_limit = 100
        cap_drop = ["all"]
      }
      restart {
        attempts = 5
        delay    = "10s"
        interval = "10m"
        mode     = "delay"
      }
    }
  }
}
