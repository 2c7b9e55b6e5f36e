# Every block of the language; much of it is refused at plan time, all of it parses.
job "everything" {
  id              = "all-of-it"
  region          = "eu"
  namespace       = "team"
  node_pool       = "gpu"
  all_at_once     = true
  type            = "batch"
  consul_namespace = "cn"

  ui {
    description = "Shows all blocks"
    link {
      label = "Docs"
      url   = "https://example.org"
    }
  }
  multiregion {
    strategy {
      max_parallel = 1
      on_failure   = "fail_all"
    }
    region "west" {
      count       = 2
      datacenters = ["west-1"]
      meta { a = "b" }
    }
  }
  periodic {
    crons            = ["*/15 * * * *", "@daily"]
    prohibit_overlap = true
    time_zone        = "Europe/Paris"
  }
  parameterized {
    payload       = "required"
    meta_required = ["who"]
    meta_optional = ["why"]
  }
  vault { policies = ["p"] }
  secret "s" {
    provider = "nomad"
    path     = "nomad/jobs"
    config { namespace = "x" }
    env { A = "b" }
  }
  group "g" {
    max_run_duration = "1h"
    stop_after_client_disconnect = "1m"
    disconnect {
      lost_after = "6h"
      replace    = false
      reconcile  = "keep_original"
    }
    scaling {
      min     = 1
      max     = 10
      enabled = true
      policy {
        cooldown = "1m"
        check "cpu" {
          source = "prometheus"
          query  = "avg"
          strategy "target-value" { target = 70 }
        }
      }
    }
    consul { namespace = "foo" }
    volume "csi" {
      type            = "csi"
      source          = "vol"
      access_mode     = "single-node-writer"
      attachment_mode = "file-system"
      per_alloc       = true
      mount_options {
        fs_type     = "ext4"
        mount_flags = ["noatime"]
      }
    }
    network {
      mode     = "cni/weave"
      hostname = "host"
      cni { args = { a = "b" } }
      port "p" {
        host_network     = "public"
        ignore_collision = true
      }
    }
    service {
      name = "mesh"
      port = "9001"
      weights { passing = 3 }
      identity {
        aud = ["consul.io"]
        ttl = "1h"
      }
      tagged_addresses { lan = "10.0.0.1" }
      connect {
        sidecar_service {
          tags = ["x"]
          proxy {
            local_service_port = 9000
            upstreams {
              destination_name = "db"
              local_bind_port  = 5432
              mesh_gateway { mode = "local" }
            }
            expose {
              path {
                path            = "/health"
                protocol        = "http"
                local_path_port = 9001
                listener_port   = "p"
              }
            }
            transparent_proxy { no_dns = true }
            config { protocol = "grpc" }
          }
        }
        sidecar_task {
          resources { cpu = 20 }
        }
      }
    }
    service {
      name = "ingress"
      connect {
        gateway {
          proxy { connect_timeout = "500ms" }
          ingress {
            listener {
              port     = 8080
              protocol = "tcp"
              service { name = "api" }
            }
          }
        }
      }
    }
    task "t" {
      driver = "java"
      kind   = "special"
      config { jar_path = "local/a.jar" }
      artifact {
        source      = "https://example.org/a.tgz"
        destination = "local/a"
        mode        = "file"
        options { checksum = "md5:abc" }
        headers { X-Token = "t" }
      }
      vault {
        policies    = ["a"]
        change_mode = "restart"
      }
      consul { cluster = "other" }
      identity {
        env  = true
        file = true
      }
      identity {
        name = "aws"
        aud  = ["sts"]
      }
      action "migrate" {
        command = "/bin/migrate"
        args    = ["up"]
      }
      schedule {
        cron {
          start    = "0 8 * * *"
          end      = "0 18"
          timezone = "UTC"
        }
      }
      csi_plugin {
        id        = "plug"
        type      = "node"
        mount_dir = "/csi"
      }
      dispatch_payload { file = "input.json" }
      scaling "cpu" {
        min = 100
        max = 1000
      }
      template {
        source      = "local/x.tpl"
        destination = "local/x"
        change_mode = "script"
        wait {
          min = "2s"
          max = "10s"
        }
        change_script {
          command       = "/bin/reload"
          args          = ["-q"]
          timeout       = "20s"
          fail_on_error = true
        }
      }
      resources {
        cores   = 2
        memory  = 100
        secrets = 10
        device "nvidia/gpu" {
          count = 2
          constraint {
            attribute = "${device.attr.memory}"
            operator  = ">="
            value     = "2 GiB"
          }
          affinity {
            attribute = "${device.attr.memory}"
            operator  = ">="
            value     = "4 GiB"
            weight    = 75
          }
        }
        numa { affinity = "prefer" }
      }
    }
  }
}
