job "ports" {
  group "g" {
    network {
      mode = "bridge"
      port "http" {
        static = 80
        to     = 8080
      }
      port "metrics" {}
      port "same" { to = -1 }
    }
    service {
      name = "a"
      port = "http"
    }
    service {
      name = "b"
      port = "metrics"
      provider = "consul"
      on_update = "ignore"
    }
    task "t" {
      driver = "docker"
      config {
        image   = "nginx:1"
        ports   = ["http", "metrics"]
        command = "nginx"
      }
    }
  }
}
