# A message is the name of a run that may start. What cannot be delivered goes to the dead letters: one subscription
# brings them to the worker, which ends their runs and records them, another keeps them for the people who look at them.

locals {
  # Pub/Sub itself forwards dead letters, as this account.
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"

  month = "2678400s" # the longest Pub/Sub keeps anything
}

resource "google_pubsub_topic" "runs" {
  name   = local.names.runs
  labels = local.labels

  depends_on = [google_project_service.api]
}

resource "google_pubsub_topic" "dead_letters" {
  name                       = local.names.dead_letters
  labels                     = local.labels
  message_retention_duration = local.month

  depends_on = [google_project_service.api]
}

resource "google_pubsub_subscription" "runs_push" {
  name   = local.names.push
  labels = local.labels
  topic  = google_pubsub_topic.runs.id

  ack_deadline_seconds       = var.push.ack_deadline_seconds
  message_retention_duration = var.push.retention

  # No ordering: one poisoned message would hold up all that share its key. The order of the line is ours.
  enable_message_ordering = false

  expiration_policy {
    ttl = "" # never, however long nothing happens
  }

  push_config {
    push_endpoint = "${google_cloud_run_v2_service.service["worker"].uri}/pubsub/push"

    oidc_token {
      service_account_email = google_service_account.identity["push"].email
      audience              = local.worker_audience
    }
  }

  retry_policy {
    minimum_backoff = var.push.minimum_backoff
    maximum_backoff = var.push.maximum_backoff
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = var.push.max_delivery_attempts
  }
}

# Without this one a run whose message was given up holds its slots until the sweep has published it in vain for hours.
resource "google_pubsub_subscription" "dead_letters_push" {
  name   = local.names.letters_push
  labels = local.labels
  topic  = google_pubsub_topic.dead_letters.id

  ack_deadline_seconds       = 60
  message_retention_duration = local.month

  expiration_policy {
    ttl = ""
  }

  push_config {
    push_endpoint = "${google_cloud_run_v2_service.service["worker"].uri}/pubsub/dead-letter"

    oidc_token {
      service_account_email = google_service_account.identity["push"].email
      audience              = local.worker_audience
    }
  }

  # Tried for as long as it is kept: there is no dead letter of a dead letter.
  retry_policy {
    minimum_backoff = var.push.minimum_backoff
    maximum_backoff = var.push.maximum_backoff
  }
}

resource "google_pubsub_subscription" "dead_letters" {
  name   = local.names.letters_pull
  labels = local.labels
  topic  = google_pubsub_topic.dead_letters.id

  message_retention_duration = local.month

  expiration_policy {
    ttl = ""
  }
}
