# What we promise, over 28 days. The requests are counted from our own log, not by their status: a 503 of a drain or a
# pause is an answer that was promised, a 503 of the store is not.

locals {
  objectives = {
    api   = { goal = var.objectives.api_availability, title = "API requests that do not fail by our fault" }
    start = { goal = var.objectives.start, title = "Granted runs that start within ${var.thresholds.start_delay_ms} ms" }
  }

  of_api = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${local.names.api}\""
}

resource "google_monitoring_custom_service" "headgate" {
  service_id   = "headgate"
  display_name = "headgate"
  user_labels  = local.labels

  depends_on = [google_project_service.api]
}

resource "google_monitoring_slo" "objective" {
  for_each = local.objectives

  service             = google_monitoring_custom_service.headgate.service_id
  slo_id              = each.key
  display_name        = each.value.title
  goal                = each.value.goal
  rolling_period_days = 28
  user_labels         = local.labels

  request_based_sli {
    dynamic "good_total_ratio" {
      for_each = each.key == "api" ? [local.of_api] : []
      content {
        bad_service_filter   = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.counter["http_failures"].name}\" AND ${good_total_ratio.value}"
        total_service_filter = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.counter["http_answers"].name}\" AND ${good_total_ratio.value}"
      }
    }

    dynamic "distribution_cut" {
      for_each = each.key == "start" ? [var.thresholds.start_delay_ms] : []
      content {
        distribution_filter = "metric.type = \"logging.googleapis.com/user/${google_logging_metric.distribution["start_delay_ms"].name}\" AND resource.type = \"cloud_run_revision\""

        range {
          min = 0
          max = distribution_cut.value
        }
      }
    }
  }
}
