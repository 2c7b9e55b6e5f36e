job "short" {
  datacenters = ["*"]
  task "hello" {
    driver = "raw_exec"
    config { command = "/bin/echo" }
  }
  group "other" {
    task "t" {
      driver = "raw_exec"
      config { command = "/bin/true" }
    }
  }
}
