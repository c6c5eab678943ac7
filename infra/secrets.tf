# Versions are added out of band (gcloud secrets versions add): no secret is ever in the state.
resource "google_secret_manager_secret" "policy" {
  secret_id           = local.names.policy
  labels              = local.labels
  deletion_protection = var.deletion_protection

  replication {
    auto {}
  }

  depends_on = [google_project_service.api]
}
