job "collector" {
  namespace = "platform"
  type      = "system"
  group "collector" {
    task "collector" {
      driver = "docker"
      config {
        image      = "platform/collector:1"
        privileged = true
        volumes    = ["/var/log:/host/log:ro"]
        cap_add    = ["sys_admin"]
      }
    }
  }
}
