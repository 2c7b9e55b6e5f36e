job "minimal" {
  group "g" {
    task "t" {
      driver = "docker"
      config {
        image = "busybox:1"
      }
    }
  }
}
