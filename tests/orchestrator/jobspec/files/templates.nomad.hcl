job "templates" {
  group "g" {
    task "t" {
      driver = "docker"
      config {
        image   = "busybox:1"
        command = "sh"
        args    = ["-c", "env; sleep 3600"]
      }
      template {
        env         = true
        destination = "local/file.env"
        data        = <<EOH
LOG_LEVEL="{{key "service/geo-api/log-verbosity"}}"
API_KEY={{with nomadVar "nomad/jobs/templates"}}{{.key}}{{end}}
EOH
      }
      template {
        data            = "---\n  bind_port: {{ env \"NOMAD_PORT_db\" }}\n"
        destination     = "${NOMAD_TASK_DIR}/x.yml"
        left_delimiter  = "{{"
        right_delimiter = "}}"
        perms           = "600"
        splay           = "0s"
        change_mode     = "noop"
        uid             = 1000
        gid             = 1000
        error_on_missing_key = true
      }
    }
  }
}
