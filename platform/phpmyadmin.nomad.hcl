# phpMyAdmin on the infra's MariaDB: Apache and PHP of Debian, one port behind the VIP.

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

variable "address" {
  type        = string
  description = "Its address as browsers write it, with a port when it is not 443."
}

variable "node" {
  type = string
}

job "phpmyadmin" {
  namespace   = "platform"
  datacenters = ["*"]
  type        = "service"
  priority    = 80

  constraint {
    attribute = "${node.unique.name}"
    value     = var.node
  }

  update {
    max_parallel     = 1
    min_healthy_time = "1s"
    healthy_deadline = "2m"
  }

  group "phpmyadmin" {
    network {
      mode = "bridge"
      port "http" {
        to = 8080
      }
    }

    restart {
      attempts = 10
      interval = "5m"
      delay    = "2s"
      mode     = "delay"
    }

    service {
      name = "phpmyadmin"
      port = "http"

      tags = [
        "traefik.enable=true",
        "traefik.http.routers.phpmyadmin.rule=Host(`${var.host}`)",
      ]

      # A page of phpMyAdmin's is some eighty requests for few processes, and the probe waits its turn among them. The end
      # of the task itself is seen at once.
      check {
        type                     = "http"
        path                     = "/robots.txt"
        interval                 = "10s"
        timeout                  = "9s"
        failures_before_critical = 2
      }
    }

    task "apache" {
      driver = "docker"

      config {
        image = var.image
        ports = ["http"]
        volumes = [
          "${var.data}/config:/etc/phpmyadmin/kokiris.d:ro",
          "${var.data}/sessions:/var/lib/php/sessions",
        ]
        cap_drop     = ["all"]
        security_opt = ["no-new-privileges"]
      }

      env {
        PMA_ADDRESS = var.address
      }

      # Where the platform's MariaDB is now: whatever else is called so in the catalog does not get people's passwords.
      # PHP reads it with each request, so that nothing restarts when it moves.
      template {
        data        = <<-EOT
          {{- range service "mariadb" }}{{ if eq (index .ServiceMeta "kokiris-namespace") "platform" }}
          host = "{{ .Address }}"
          port = "{{ .Port }}"
          {{- end }}{{ end }}
        EOT
        destination = "local/mariadb.ini"
        change_mode = "noop"
      }

      resources {
        cpu    = 200
        memory = 192
      }
    }
  }
}
