# The client's registry: CNCF Distribution, its tokens by kokiris (kokiris/registry). Put up by `kokiris addon enable registry`.

variable "image" {
  type = string
}

variable "data" {
  type = string
}

variable "host" {
  type = string
}

job "registry" {
  namespace = "platform"
  type      = "service"

  group "registry" {
    # One process writes one folder; its successor starts when it has ended.
    count = 1

    network {
      mode = "bridge"
      port "http" { to = 5000 }
    }

    update {
      min_healthy_time = "1s"
      healthy_deadline = "2m"
    }

    service {
      name = "registry"
      port = "http"
      tags = [
        "traefik.enable=true",
        "traefik.http.routers.registry.rule=Host(`${var.host}`)",
        "traefik.http.routers.registry.entrypoints=websecure",
        "traefik.http.routers.registry.tls=true",
      ]
      check {
        type     = "http"
        path     = "/"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "registry" {
      driver       = "docker"
      kill_timeout = "30s"

      config {
        image    = var.image
        ports    = ["http"]
        cap_drop = ["all"]
        volumes = [
          "${var.data}/config:/etc/registry:ro",
          "${var.data}/blobs:/var/lib/registry",
        ]
      }

      resources {
        cpu    = 100
        memory = 128
      }
    }
  }
}
