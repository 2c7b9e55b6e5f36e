job "shop" {
  meta { shop = "yes" }

  reschedule {
    delay          = "30s"
    delay_function = "fibonacci"
    max_delay      = "10m"
    unlimited      = true
  }

  update {
    max_parallel = 2
    health_check = "task_states"
  }

  group "front" {
    count = 3
    meta { tier = "front" }
    update {
      max_parallel = 1
      canary       = 1
    }
    task "front" {
      driver = "docker"
      meta { tier = "task" }
      config { image = "shop/front:12" }
    }
  }

  group "back" {
    reschedule {
      delay = "1m"
    }
    task "back" {
      driver = "docker"
      config { image = "shop/back:12" }
    }
    task "queue" {
      driver = "docker"
      config {
        image = "shop/queue:3"
        auth {
          username       = "reader"
          password       = "not-a-secret"
          server_address = "registry.example.org"
        }
        labels {
          team = "shop"
        }
      }
    }
  }
}
