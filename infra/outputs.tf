output "api_url" {
  description = "Where the API is."
  value       = google_cloud_run_v2_service.service["api"].uri
}

output "worker_url" {
  description = "Where the worker is; only Pub/Sub and the scheduler may call it."
  value       = google_cloud_run_v2_service.service["worker"].uri
}

output "image_repository" {
  description = "Where images are pushed."
  value       = google_artifact_registry_repository.images.registry_uri
}

output "artifact_bucket" {
  description = "Bucket of the artifacts of runs."
  value       = google_storage_bucket.artifacts.name
}

output "subscriptions" {
  description = "Names of the subscriptions: runs, their dead letters on the way to the worker, and kept for people."
  value = {
    runs         = google_pubsub_subscription.runs_push.name
    letters      = google_pubsub_subscription.dead_letters_push.name
    letters_pull = google_pubsub_subscription.dead_letters.name
  }
}

output "service_accounts" {
  description = "The identities, by part."
  value       = { for part, account in google_service_account.identity : part => account.email }
}

output "alerts" {
  description = "The alert policies, by the id of their entry in the catalogue."
  value       = { for id, policy in google_monitoring_alert_policy.alert : id => policy.name }
}
