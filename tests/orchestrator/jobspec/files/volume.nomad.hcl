job "mysql" {
  type = "service"
  group "mysql" {
    volume "data" {
      type      = "host"
      source    = "mysql-data"
      read_only = false
    }
    network {
      mode = "bridge"
      port "db" { static = 3306 }
    }
    task "mysql" {
      driver = "docker"
      volume_mount {
        volume      = "data"
        destination = "/var/lib/mysql"
      }
      env = {
        "MYSQL_DATABASE" = "app"
        "my.dotted-key"  = "x"
        PORT             = 3306
      }
      config {
        image = "mariadb:10.11"
        args  = ["--datadir", "/var/lib/mysql"]
        ulimit {
          nofile = "65536:65536"
          nproc  = "1024"
        }
        sysctl = { "net.core.somaxconn" = "1024" }
        mount {
          type   = "tmpfs"
          target = "/tmp"
          tmpfs_options { size = 100000000 }
        }
        mounts = [{ type = "bind", source = "local/conf", target = "/etc/mysql/conf.d", readonly = true }]
      }
      resources {
        cpu        = 500
        memory     = 512
        memory_max = 1024
      }
    }
  }
}
