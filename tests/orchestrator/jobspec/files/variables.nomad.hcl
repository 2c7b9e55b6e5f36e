variable "image" {
  type        = string
  description = "The image to run."
  default     = "nginx:1.25"
}

variable "replicas" {
  type    = number
  default = 3
  validation {
    condition     = var.replicas > 0 && var.replicas < 10
    error_message = "Between 1 and 9."
  }
}

variable "ports" {
  type = map(object({ to = number, static = optional(number) }))
  default = {
    http  = { to = 80 }
    admin = { to = 8081, static = 9001 }
  }
}

variable "environments" {
  type    = list(string)
  default = ["one", "two"]
}

variables {
  owner = "team-a"
}

locals {
  name   = "${local.prefix}-app"
  prefix = lower("PRE")
  labels = { for key, port in var.ports : key => "${key}:${port.to}" }
  big    = [for name in var.environments : upper(name) if name != "two"]
}

job "variables" {
  name = local.name
  meta = {
    owner = var.owner
    count = var.replicas
  }

  group "app" {
    count = var.replicas

    network {
      dynamic "port" {
        for_each = var.ports
        labels   = [port.key]
        content {
          to     = port.value.to
          static = port.value.static
        }
      }
    }

    dynamic "task" {
      for_each = var.environments
      iterator = it
      labels   = ["worker-${it.value}"]
      content {
        driver = "docker"
        config {
          image  = var.image
          args   = ["--name", it.value, "--index", it.key]
          labels = local.labels
        }
        env {
          BIG      = join(",", local.big)
          PORTS    = jsonencode(var.ports)
          RUNTIME  = "${NOMAD_PORT_http} on ${node.unique.name}"
          FIRST    = var.environments[0]
          ALL_TO   = join(" ", values(var.ports)[*].to)
          SWITCH   = var.replicas > 2 ? "many" : "few"
        }
      }
    }
  }
}
