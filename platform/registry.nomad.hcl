# The client's private Docker registry: CNCF Distribution; kokiris signs the tokens it accepts (kokiris/registry).

variable "image" {
  type = string
}

variable "data" {
  type        = string
  description = "The add-on's folder on the node."
}

variable "host" {
  type = string
}

variable "node" {
  type        = string
  description = "The node that holds the data."
}

job "registry" {
  namespace   = "platform"
  datacenters = ["*"]
  type        = "service"
  priority    = 90

  constraint {
    attribute = "${node.unique.name}"
    value     = var.node
  }

  update {
    max_parallel     = 1
    min_healthy_time = "1s"
    healthy_deadline = "2m"
  }

  group "registry" {
    network {
      mode = "bridge"
      port "http" {
        to = 5000
      }
    }

    restart {
      attempts = 10
      interval = "5m"
      delay    = "2s"
      mode     = "delay"
    }

    service {
      name = "registry"
      port = "http"

      tags = [
        "traefik.enable=true",
        "traefik.http.routers.registry.rule=Host(`${var.host}`)",
      ]

      # A busy machine may miss one probe; the end of the task itself is seen at once.
      check {
        type                     = "http"
        path                     = "/"
        interval                 = "5s"
        timeout                  = "2s"
        failures_before_critical = 2
      }
    }

    task "distribution" {
      driver = "docker"

      config {
        image = var.image
        ports = ["http"]
        volumes = [
          "${var.data}/config:/etc/registry:ro",
          "${var.data}/blobs:/var/lib/registry",
        ]
        readonly_rootfs = true
        cap_drop        = ["all"]
        security_opt    = ["no-new-privileges"]
      }

      # A push that is under way may end.
      kill_timeout = "30s"

      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
