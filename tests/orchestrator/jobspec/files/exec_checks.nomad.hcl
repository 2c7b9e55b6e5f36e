job "checks" {
  group "g" {
    network {
      port "grpc" {}
    }
    service {
      name = "checks"
      port = "grpc"
      task = "t"
      check {
        type         = "grpc"
        grpc_service = "example.v1"
        interval     = "15s"
        timeout      = "5s"
      }
      check {
        name     = "script"
        type     = "script"
        command  = "/bin/check"
        args     = ["-v"]
        interval = "60s"
        timeout  = "5s"
      }
    }
    task "t" {
      driver = "docker"
      config {
        image   = "example/grpc:1"
        devices = [{ host_path = "/dev/fuse" }]
        logging {
          type = "syslog"
          config { tag = "x" }
        }
      }
    }
  }
}
