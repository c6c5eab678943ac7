# Who acts: one account for each part, no keys, no roles of the whole project but where there is no narrower one.

locals {
  identities = {
    api       = "Serves the API."
    worker    = "Executes runs, and sweeps."
    push      = "As this account Pub/Sub calls the worker; it may do nothing else."
    scheduler = "As this account the scheduler calls the sweep; it may do nothing else."
    build     = "Builds, tests and deploys."
  }
}

resource "google_service_account" "identity" {
  for_each = local.identities

  account_id   = "headgate-${each.key}"
  display_name = "headgate: ${each.key}"
  description  = each.value

  depends_on = [google_project_service.api]
}

# Data: the one database, not every one of the project.
resource "google_project_iam_member" "database" {
  for_each = toset(["api", "worker"])

  project = var.project_id
  role    = "roles/datastore.user"
  member  = google_service_account.identity[each.key].member

  condition {
    title       = "headgate database"
    description = "Only the database ${var.firestore_database}."
    expression  = "resource.name == \"projects/${var.project_id}/databases/${google_firestore_database.headgate.name}\""
  }
}

# Both publish: a run starts where a slot is freed, whoever frees it. viewer: /readyz asks whether the topic is there.
resource "google_pubsub_topic_iam_member" "runs" {
  for_each = { for pair in setproduct(["api", "worker"], ["publisher", "viewer"]) : join("-", pair) => pair }

  topic  = google_pubsub_topic.runs.id
  role   = "roles/pubsub.${each.value[1]}"
  member = google_service_account.identity[each.value[0]].member
}

resource "google_storage_bucket_iam_member" "artifacts" {
  for_each = {
    api    = "roles/storage.objectViewer" # hands artifacts out
    worker = "roles/storage.objectUser"   # saves them, and deletes those of runs that are no longer kept
  }

  bucket = google_storage_bucket.artifacts.name
  role   = each.value
  member = google_service_account.identity[each.key].member
}

resource "google_project_iam_member" "logs" {
  for_each = toset(["api", "worker", "build"])

  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.identity[each.key].member
}

# The sweep reads the depth of the subscription and writes the gauges.
resource "google_project_iam_member" "monitoring" {
  for_each = toset(["roles/monitoring.viewer", "roles/monitoring.metricWriter"])

  project = var.project_id
  role    = each.key
  member  = google_service_account.identity["worker"].member
}

resource "google_secret_manager_secret_iam_member" "policy" {
  for_each = toset(["api", "worker"])

  secret_id = google_secret_manager_secret.policy.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.identity[each.key].member
}

# Who may call what.
resource "google_cloud_run_v2_service_iam_member" "worker" {
  for_each = toset(["push", "scheduler"])

  name     = google_cloud_run_v2_service.service["worker"].name
  location = google_cloud_run_v2_service.service["worker"].location
  role     = "roles/run.invoker"
  member   = google_service_account.identity[each.key].member
}

resource "google_cloud_run_v2_service_iam_member" "api" {
  for_each = toset(concat(var.api.invokers, local.uptime_agent))

  name     = google_cloud_run_v2_service.service["api"].name
  location = google_cloud_run_v2_service.service["api"].location
  role     = "roles/run.invoker"
  member   = each.key
}

# Without both of these grants Pub/Sub goes on delivering for ever, and says so nowhere.
resource "google_pubsub_topic_iam_member" "forward" {
  topic  = google_pubsub_topic.dead_letters.id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "forwarded" {
  subscription = google_pubsub_subscription.runs_push.id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# Pub/Sub signs the pushes with this account's name. Projects that had Pub/Sub before April 2021 need the grant said.
resource "google_service_account_iam_member" "sign_pushes" {
  service_account_id = google_service_account.identity["push"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}

# The build pushes images, deploys the two services, and acts as their accounts in doing so.
resource "google_artifact_registry_repository_iam_member" "build" {
  repository = google_artifact_registry_repository.images.name
  location   = google_artifact_registry_repository.images.location
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.identity["build"].member
}

resource "google_cloud_run_v2_service_iam_member" "build" {
  for_each = google_cloud_run_v2_service.service

  name     = each.value.name
  location = each.value.location
  role     = "roles/run.developer"
  member   = google_service_account.identity["build"].member
}

resource "google_service_account_iam_member" "build_acts_as" {
  for_each = toset(["api", "worker"])

  service_account_id = google_service_account.identity[each.key].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.identity["build"].member
}
