variable "ports" {
  type = map(number)
  default = { http = 8080, admin = 9090, grpc = 0 }
  validation {
    condition     = length(var.ports) > 0 && min(values(var.ports)...) >= 0
    error_message = "Ports must be positive."
  }
}
variable "image_tag" {
  type = string
  default = "v1.2.3"
  validation {
    condition     = substr(var.image_tag, 0, 1) == "v"
    error_message = "The image tag must start with v."
  }
}
job "dyn" {
  datacenters = ["*"]
  dynamic "group" {
    for_each = ["a", "b"]
    iterator = it
    labels   = ["svc-${it.value}"]
    content {
      count = it.key + 1
      network {
        dynamic "port" {
          for_each = { for n, p in var.ports : n => p if p > 0 }
          labels   = [port.key]
          content { to = port.value }
        }
      }
      dynamic "service" {
        for_each = { for n, p in var.ports : n => p if p > 0 }
        content {
          name = "dyn-${service.key}"
          port = service.key
        }
      }
      task "main" {
        driver = "docker"
        config {
          image = "app:${var.image_tag}"
        }
      }
    }
  }
}
