variable "users" {
  type    = set(string)
  default = ["alice", "bob"]
}
job "heredoc" {
  group "g" {
    task "t" {
      driver = "docker"
      config {
        image   = "busybox:1"
        command = "/bin/sh"
        args = [
          "-c",
          <<-SCRIPT
            set -e
            %{ for u in sort(var.users) ~}
            adduser -D ${u}
            %{ endfor ~}
            echo "$${PATH}" %%{ not a directive }
            if [ "$1" = "x" ]; then
              echo '{"a": "b"}' | sed 's/\(.*\)/\1/'
            fi
          SCRIPT
        ]
      }
      template {
        data = <<EOF2
{{- range $i, $s := service "a" }}
{{ $i }}
{{- end }}
a: "${NOMAD_ALLOC_ID}"
b: ${upper("abc")}
c: {{ "{{" }} x }}
EOF2
        destination = "local/x.yml"
      }
      env = {
        "A-B"  = "1"
        NUM    = 5
        FLAG   = true
        JSON   = jsonencode({ a = [1, 2], b = null })
      }
    }
  }
}
