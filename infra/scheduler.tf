# The sweep catches what an event missed. Whoever calls twice does no harm; who does not call at all is alerted on.
resource "google_cloud_scheduler_job" "sweep" {
  name             = "headgate-sweep"
  description      = "One round of the sweep, every minute."
  region           = var.region
  schedule         = "* * * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "60s"

  retry_config {
    retry_count          = 1
    min_backoff_duration = "5s"
  }

  http_target {
    http_method = "POST"
    uri         = "${google_cloud_run_v2_service.service["worker"].uri}/tasks/sweep"

    oidc_token {
      service_account_email = google_service_account.identity["scheduler"].email
      audience              = local.worker_audience
    }
  }

  depends_on = [google_project_service.api]
}
