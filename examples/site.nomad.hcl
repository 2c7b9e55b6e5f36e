# A small web site: two instances behind the VIP, under a domain name of its own.

variable "image" {
  type        = string
  default     = "kokiris-site:latest"
  description = "Image of the site; examples/site/build.sh makes it from Debian's busybox."
}

variable "domain" {
  type    = string
  default = "www.site.localhost"
}

job "site" {
  datacenters = ["*"]
  type        = "service"

  update {
    max_parallel     = 1
    min_healthy_time = "1s"
    healthy_deadline = "2m"
    auto_revert      = true
  }

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
        "traefik.http.routers.site.rule=Host(`${var.domain}`)",
      ]

      check {
        type     = "http"
        path     = "/health"
        interval = "5s"
        timeout  = "2s"
      }
    }

    task "httpd" {
      driver = "docker"

      config {
        image = var.image
        ports = ["http"]
      }

      env {
        SITE_TITLE = "It works"
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
