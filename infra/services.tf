# One image, two services: what runs is chosen by the arguments.

locals {
  environment = {
    GOOGLE_CLOUD_PROJECT           = var.project_id
    HEADGATE_STORE                 = "firestore"
    HEADGATE_FIRESTORE_DATABASE    = var.firestore_database
    HEADGATE_DELIVERY              = "pubsub"
    HEADGATE_TOPIC                 = local.names.runs
    HEADGATE_SUBSCRIPTION          = local.names.push
    HEADGATE_PUSH_AUTH             = "oidc"
    HEADGATE_PUSH_AUDIENCE         = local.worker_audience
    HEADGATE_PUSH_SERVICE_ACCOUNT  = google_service_account.identity["push"].email
    HEADGATE_SWEEP_SERVICE_ACCOUNT = google_service_account.identity["scheduler"].email
    HEADGATE_ARTIFACT_BUCKET       = google_storage_bucket.artifacts.name
    HEADGATE_DATA                  = "/tmp/headgate" # the name of the instance; nothing that lasts
    HEADGATE_LOG                   = "json"
    HEADGATE_LOG_LEVEL             = var.log_level
    HEADGATE_INSTANCES             = tostring(var.api.max_instances * var.api.processes)
    HEADGATE_WORKERS               = tostring(var.worker.concurrency)
  }

  policy_file = "/etc/headgate/policy.yaml"

  services = {
    api = {
      name        = local.names.api
      ingress     = var.api.ingress
      open        = var.api.open
      audiences   = []
      min         = var.api.min_instances
      max         = var.api.max_instances
      concurrency = var.api.concurrency
      timeout     = 3600 # a stream of events lives as long as its client looks
      cpu         = var.api.cpu
      memory      = var.api.memory
      args = [
        "--worker-class", "uvicorn_worker.UvicornWorker", "--workers", tostring(var.api.processes),
        "--bind", ":8080", "--graceful-timeout", "9", "headgate.api.asgi:app()",
      ]
    }
    worker = {
      name        = local.names.worker
      ingress     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
      open        = false
      audiences   = [local.worker_audience]
      min         = var.worker.min_instances
      max         = var.worker.max_instances
      concurrency = var.worker.concurrency + 8 # dead letters, the sweep and probes do not wait for runs
      timeout     = var.push.ack_deadline_seconds
      cpu         = var.worker.cpu
      memory      = var.worker.memory
      args = [
        "--worker-class", "gthread", "--threads", tostring(var.worker.concurrency + 8),
        "--bind", ":8080", "--graceful-timeout", "9", "headgate.worker.wsgi:app()",
      ]
    }
  }
}

resource "google_cloud_run_v2_service" "service" {
  for_each = local.services

  name                 = each.value.name
  location             = var.region
  labels               = local.labels
  ingress              = each.value.ingress
  invoker_iam_disabled = each.value.open
  custom_audiences     = each.value.audiences
  deletion_protection  = var.deletion_protection

  template {
    service_account                  = google_service_account.identity[each.key].email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2" # the sandbox needs namespaces
    max_instance_request_concurrency = each.value.concurrency
    timeout                          = "${each.value.timeout}s"
    labels                           = local.labels

    scaling {
      min_instance_count = each.value.min
      max_instance_count = each.value.max
    }

    containers {
      image   = var.image
      command = ["gunicorn"]
      args    = each.value.args

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = each.value.cpu, memory = each.value.memory }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = merge(local.environment, var.policy_version == null ? {} : { HEADGATE_POLICY = local.policy_file })
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "volume_mounts" {
        for_each = var.policy_version == null ? [] : [local.policy_file]
        content {
          name       = "policy"
          mount_path = dirname(volume_mounts.value)
        }
      }

      startup_probe {
        period_seconds    = 2
        failure_threshold = 30

        http_get {
          path = "/healthz"
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3

        http_get {
          path = "/healthz"
        }
      }
    }

    dynamic "volumes" {
      for_each = var.policy_version == null ? [] : [var.policy_version]
      content {
        name = "policy"

        secret {
          secret = google_secret_manager_secret.policy.id

          items {
            version = volumes.value
            path    = basename(local.policy_file)
          }
        }
      }
    }
  }

  # Which revision gets how much of the traffic is decided at each deployment (cloudbuild.yaml), not here.
  lifecycle {
    ignore_changes = [traffic, client, client_version]
  }

  depends_on = [
    google_project_service.api,
    google_project_iam_member.database,
    google_secret_manager_secret_iam_member.policy,
    google_pubsub_topic_iam_member.runs,
  ]
}
