job "api" {
  group "api" {
    count = 4

    update {
      max_parallel     = 2
      canary           = 1
      min_healthy_time = "30s"
      healthy_deadline = "10m"
      progress_deadline = "15m"
      auto_revert      = true
      auto_promote     = true
    }

    spread {
      attribute = "${node.datacenter}"
      weight    = 80
      target "dc1" { percent = 70 }
      target "dc2" { percent = 30 }
    }

    affinity {
      attribute = "${meta.ssd}"
      value     = "true"
      weight    = 75
    }

    constraint { distinct_hosts = true }

    network {
      mode = "bridge"
      port "http" { to = -1 }
    }

    service {
      port        = "http"
      tags        = ["live"]
      canary_tags = ["canary"]
      meta { version = "1" }
      check {
        type     = "http"
        path     = "/ready"
        interval = "10s"
        timeout  = "3s"
        method   = "POST"
        body     = "{}"
        header {
          Authorization = ["Basic ZWxhc3RpYzpjaGFuZ2VtZQ=="]
          Accept        = ["application/json", "text/plain"]
        }
        check_restart {
          limit = 3
          grace = "90s"
        }
      }
    }

    task "api" {
      driver = "docker"
      config { image = "example/api:2.0" }
      shutdown_delay = "5s"
    }
  }
}
