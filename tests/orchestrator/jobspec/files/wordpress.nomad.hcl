variable "db_password" {
  type    = string
  default = "change-me"
}

job "wordpress" {
  datacenters = ["dc*"]

  group "wordpress" {
    network {
      mode = "bridge"
      port "http" { to = 80 }
    }

    service {
      name = "wordpress"
      port = "http"
      tags = ["traefik.enable=true", "traefik.http.routers.wp.rule=Host(`blog.example.org`) && PathPrefix(`/`)"]
      check {
        type     = "tcp"
        interval = "10s"
        timeout  = "2s"
      }
      check_restart {
        limit = 3
        grace = "60s"
      }
    }

    task "wordpress" {
      driver = "docker"
      config {
        image       = "wordpress:6.5"
        ports       = ["http"]
        extra_hosts = ["db.local:10.0.0.5"]
      }
      env {
        WORDPRESS_DB_HOST     = "db.local"
        WORDPRESS_DB_PASSWORD = var.db_password
      }
      resources {
        cpu    = 500
        memory = 512
      }
    }

    task "database" {
      driver = "docker"
      lifecycle {
        hook    = "prestart"
        sidecar = true
      }
      config {
        image = "mariadb:10.11"
      }
      env {
        MARIADB_ROOT_PASSWORD = var.db_password
      }
      service {
        name         = "wordpress-db"
        port         = 3306
        address_mode = "driver"
      }
      resources {
        cpu    = 300
        memory = 256
      }
    }
  }
}
