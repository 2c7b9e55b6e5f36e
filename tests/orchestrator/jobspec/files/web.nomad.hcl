# A web site behind the VIP, two instances, rolling update.
job "site" {
  datacenters = ["dc1"]

  group "web" {
    count = 2

    network {
      mode = "bridge"
      port "http" {
        to = 8080
      }
    }

    service {
      name = "site"
      port = "http"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.site.rule=Host(`www.example.org`)",
      ]

      check {
        type     = "http"
        path     = "/health"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "server" {
      driver = "docker"

      config {
        image = "registry.example.org/site:1.4"
        ports = ["http"]
      }

      resources {
        cpu    = 200
        memory = 128
      }
    }
  }
}
