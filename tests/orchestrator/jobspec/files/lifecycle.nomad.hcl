job "lifecycle" {
  group "app" {
    shutdown_delay = "10s"
    task "wait-for-db" {
      lifecycle {
        hook    = "prestart"
        sidecar = false
      }
      driver = "docker"
      config {
        image   = "busybox:1.36"
        command = "sh"
        args    = ["-c", "until nc -z db.service.consul 5432; do sleep 1; done"]
      }
      resources {
        cpu    = 20
        memory = 16
      }
    }
    task "main" {
      driver = "docker"
      config {
        image      = "example/app:1"
        entrypoint = ["/entry"]
      }
      leader      = true
      kill_signal = "SIGTERM"
    }
    task "log-shipper" {
      lifecycle {
        hook    = "poststart"
        sidecar = true
      }
      driver = "docker"
      config { image = "example/shipper:1" }
    }
    task "cleanup" {
      lifecycle { hook = "poststop" }
      driver = "docker"
      config { image = "example/cleanup:1" }
    }
  }
}
