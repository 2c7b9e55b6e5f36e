variables {
  version = "1.27"
  replicas = 2
}

variable "datacenters" {
  description = "A list of datacenters in the region which are eligible for task placement"
  type        = list(string)
  default     = ["dc1"]
}

variable "hosts" {
  type = map(object({
    host  = string
    paths = list(string)
    tls   = optional(bool, true)
  }))
  default = {
    main = { host = "www.example.org", paths = ["/"] }
    api  = { host = "api.example.org", paths = ["/v1", "/v2"], tls = false }
  }
}

locals {
  service_name = "shop-${var.version}"
  rules = [for k, v in var.hosts : "traefik.http.routers.${k}.rule=Host(`${v.host}`) && (${join(" || ", [for p in v.paths : "PathPrefix(`${p}`)"])})"]
  common = merge({ team = "web" }, { env = "rec" })
}

job "shop" {
  datacenters = var.datacenters
  type        = "service"
  priority    = 60

  meta = local.common

  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "10s"
    healthy_deadline  = "3m"
    progress_deadline = "10m"
    auto_revert       = true
    auto_promote      = true
    canary            = 1
    stagger           = "30s"
  }

  group "web" {
    count = var.replicas

    network {
      mode = "bridge"
      port "http" { to = 80 }
      port "metrics" {}
      dns {
        servers  = ["1.1.1.1"]
        searches = ["service.consul"]
      }
    }

    restart {
      attempts = 3
      interval = "5m"
      delay    = "15s"
      mode     = "fail"
    }

    reschedule {
      delay          = "30s"
      delay_function = "exponential"
      max_delay      = "1h"
      unlimited      = true
    }

    service {
      name = "shop"
      port = "http"
      tags = concat(["traefik.enable=true", "traefik.http.routers.main.entrypoints=websecure", "traefik.http.routers.main.tls=true"], local.rules)
      canary_tags = ["traefik.enable=false"]

      check {
        name     = "alive"
        type     = "http"
        path     = "/healthz"
        interval = "10s"
        timeout  = "2s"
        header {
          Authorization = ["Basic ZWxhc3RpYzpjaGFuZ2VtZQ=="]
        }
        check_restart {
          limit           = 3
          grace           = "90s"
          ignore_warnings = false
        }
      }
    }

    task "nginx" {
      driver = "docker"

      config {
        image = "nginx:${var.version}"
        ports = ["http", "metrics"]
        volumes = [
          "local/nginx.conf:/etc/nginx/conf.d/default.conf",
        ]
        labels {
          group = "label"
        }
      }

      template {
        data = <<EOH
upstream backend {
{{ range service "backend" }}
  server {{ .Address }}:{{ .Port }};
{{ else }}server 127.0.0.1:65535; # force a 502
{{ end }}
}
server {
  listen 80;
  server_name {{ env "NOMAD_META_team" }};
  location / {
    proxy_pass http://backend;
    proxy_set_header X-Real-IP $remote_addr;
  }
}
EOH
        destination   = "local/nginx.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        left_delimiter = "{{"
      }

      resources {
        cpu        = 200
        memory     = 64
        memory_max = 128
      }
    }
  }
}
