locals {
  scrape = yamlencode({
    global = { scrape_interval = "15s" }
    scrape_configs = [
      for name, port in { node = 9100, app = 8080 } : {
        job_name       = name
        static_configs = [{ targets = ["127.0.0.1:${port}"] }]
      }
    ]
  })
}

job "monitoring" {
  type = "service"

  group "prometheus" {
    count = 1
    network {
      port "ui" { to = 9090 }
    }
    restart {
      attempts = 10
      interval = "5m"
      delay    = "10s"
      mode     = "delay"
    }
    ephemeral_disk { size = 1000 }
    task "prometheus" {
      driver = "docker"
      config {
        image = "prom/prometheus:v2.51.0"
        ports = ["ui"]
        args = [
          "--config.file=/local/prometheus.yml",
          "--web.external-url=https://prom.example.org/",
        ]
        dns_servers = ["10.0.0.2"]
      }
      template {
        data        = local.scrape
        destination = "local/prometheus.yml"
        change_mode = "signal"
      }
      service {
        name = "${JOB}-${TASKGROUP}-${TASK}"
        port = "ui"
        check {
          name     = "ready"
          type     = "http"
          path     = "/-/ready"
          interval = "10s"
          timeout  = "2s"
        }
      }
    }
  }
}
