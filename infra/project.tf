data "google_project" "this" {
  project_id = var.project_id
}

resource "google_project_service" "api" {
  for_each = toset([
    "artifactregistry", "cloudbuild", "cloudscheduler", "firestore", "iam", "iamcredentials", "logging", "monitoring",
    "pubsub", "run", "secretmanager", "storage",
  ])

  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}
