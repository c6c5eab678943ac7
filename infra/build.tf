# What is merged is tested, built and deployed, as cloudbuild.yaml says.
resource "google_cloudbuild_trigger" "main" {
  count = var.build_repository == null ? 0 : 1

  name            = "headgate-main"
  description     = "Tests, builds and deploys main."
  location        = var.region
  filename        = "cloudbuild.yaml"
  service_account = google_service_account.identity["build"].id

  repository_event_config {
    repository = var.build_repository

    push {
      branch = "^main$"
    }
  }

  substitutions = {
    _REGION     = var.region
    _REPOSITORY = google_artifact_registry_repository.images.repository_id
  }

  depends_on = [google_project_service.api]
}
