job "proxy" {
  group "proxy" {
    network {
      mode = "host"
      port "http" { static = 8080 }
      dns {
        servers  = ["10.0.0.2", "10.0.0.3"]
        searches = ["service.consul"]
        options  = ["ndots:2"]
      }
    }

    task "nginx" {
      driver = "docker"
      config {
        image        = "nginx:1.25"
        network_mode = "host"
        volumes      = ["local/nginx.conf:/etc/nginx/nginx.conf:ro"]
      }

      template {
        destination   = "local/nginx.conf"
        change_mode   = "signal"
        change_signal = "sighup"
        data          = <<-EOF
          upstream backend {
          {{ range service "site" }}
            server {{ .Address }}:{{ .Port }};
          {{ else }}server 127.0.0.1:65535; # nobody is there
          {{ end }}
          }

          server {
            listen {{ env "NOMAD_PORT_http" }};
            # alloc ${NOMAD_ALLOC_ID}, not $${literal}
            %{ for name in ["a", "b"] ~}
            location /${name} { }
            %{ endfor ~}
          }
        EOF
      }

      template {
        env         = true
        destination = "secrets/env"
        data        = <<EOT
TOKEN="{{ key "app/token" }}"
  INDENTED=%{ if true }yes%{ else }no%{ endif }
EOT
      }
    }
  }
}
