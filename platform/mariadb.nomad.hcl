# The infra's MariaDB. Reached by jobs as mariadb.service.consul and by phpMyAdmin, never through the VIP.

variable "image" {
  type = string
}

variable "data" {
  type        = string
  description = "The add-on's folder on the node."
}

variable "node" {
  type        = string
  description = "The node that holds the data."
}

variable "memory_mb" {
  type    = number
  default = 512
}

job "mariadb" {
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
    healthy_deadline = "3m"
  }

  group "mariadb" {
    network {
      mode = "bridge"
      port "mysql" {
        to = 3306
      }
    }

    restart {
      attempts = 20
      interval = "10m"
      delay    = "3s"
      mode     = "delay"
    }

    service {
      name = "mariadb"
      port = "mysql"

      # A busy machine may miss one probe; the end of the task itself is seen at once.
      check {
        type                     = "tcp"
        interval                 = "5s"
        timeout                  = "2s"
        failures_before_critical = 2
      }
    }

    task "mariadb" {
      driver = "docker"

      config {
        image = var.image
        ports = ["mysql"]
        volumes = [
          "${var.data}/data:/var/lib/mysql",
          "${var.data}/secrets:/run/secrets/mariadb:ro",
        ]
        mount {
          type   = "tmpfs"
          target = "/run/mysqld"
          tmpfs_options {
            mode = 511
            size = 1048576
          }
        }
        cap_drop     = ["all"]
        security_opt = ["no-new-privileges"]
      }

      # Pages are written before it ends; a kill would only cost recovery time.
      kill_timeout = "60s"

      resources {
        cpu    = 500
        memory = var.memory_mb
      }
    }
  }
}
