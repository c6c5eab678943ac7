# The API seen from outside, where it can be seen from there at all.

locals {
  seen_from_outside = var.api.ingress == "INGRESS_TRAFFIC_ALL"
  uptime_check_id   = local.seen_from_outside ? google_monitoring_uptime_check_config.api[0].uptime_check_id : ""

  # As this account the check calls; unless everybody may.
  uptime_agent = local.seen_from_outside && !var.api.open ? [
    "serviceAccount:service-${data.google_project.this.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com",
  ] : []
}

resource "google_monitoring_uptime_check_config" "api" {
  count = local.seen_from_outside ? 1 : 0

  display_name = "headgate: the API is ready"
  period       = "60s"
  timeout      = "10s"
  user_labels  = local.labels

  http_check {
    path         = "/readyz"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    accepted_response_status_codes {
      status_class = "STATUS_CLASS_2XX"
    }

    dynamic "service_agent_authentication" {
      for_each = var.api.open ? [] : ["OIDC_TOKEN"]
      content {
        type = service_agent_authentication.value
      }
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = trimprefix(google_cloud_run_v2_service.service["api"].uri, "https://")
    }
  }

  depends_on = [google_project_service.api]
}
