# Policies, one for each entry of alerts/catalogue.yaml.

locals {
  # What ${...} in the catalogue may name. Known at plan: the entries are the keys of for_each.
  alert_values = merge(var.thresholds, {
    queue_depth_threshold          = var.queue_depth_threshold
    queue_depth_critical_threshold = var.queue_depth_critical_threshold
    push_subscription              = local.names.push
    letters_subscription           = local.names.letters_push
    runs_topic                     = local.names.runs
    letters_topic                  = local.names.dead_letters
    api_service                    = local.names.api
    worker_service                 = local.names.worker
    api_instances                  = var.api.max_instances
    worker_instances               = var.worker.max_instances
    database                       = var.firestore_database
    region                         = var.region
    ack_deadline_microseconds      = var.push.ack_deadline_seconds * 1000000
    push_half_retention_seconds    = floor(tonumber(trimsuffix(var.push.retention, "s")) / 2)
    letters_half_retention_seconds = floor(tonumber(trimsuffix(local.month, "s")) / 2)

    # Refusals that say nothing of the limits: switches, standing, and what could never be taken.
    not_rejections = join("|", [
      "SYSTEM_DRAINING", "SYSTEM_MAINTENANCE", "TENANT_PAUSED", "SCOPE_PAUSED", "TENANT_SUSPENDED", "TENANT_DEACTIVATED",
      "CONCURRENCY_SKIPPED", "PRIORITY_CEILING", "NEVER_FITS",
    ])
  })

  catalogue = {
    for entry in yamldecode(templatefile("${path.module}/alerts/catalogue.yaml", local.alert_values)) :
    entry.id => entry if entry.id != "api_unreachable" || local.seen_from_outside
  }

  console = "https://console.cloud.google.com"
  alert_links = {
    Dashboard = "${local.console}/monitoring/dashboards?project=${var.project_id}"
    Logs      = "${local.console}/logs/query;query=${urlencode(local.of_our_services)}?project=${var.project_id}"
  }
}

resource "google_monitoring_alert_policy" "alert" {
  for_each = local.catalogue

  display_name          = each.key
  combiner              = each.value.kind == "burn" ? "AND" : "OR"
  severity              = each.value.severity
  notification_channels = local.channels[each.value.severity]
  user_labels           = merge(local.labels, { runbook = each.value.runbook, row = each.value.row })

  dynamic "conditions" {
    for_each = each.value.kind == "threshold" ? each.value.conditions : []
    content {
      display_name = each.value.title

      condition_threshold {
        filter                  = strcontains(conditions.value.filter, "@uptime_check@") ? replace(conditions.value.filter, "@uptime_check@", local.uptime_check_id) : conditions.value.filter
        comparison              = "COMPARISON_GT"
        threshold_value         = tonumber(conditions.value.threshold)
        duration                = each.value.for
        evaluation_missing_data = each.value.for == "0s" ? null : "EVALUATION_MISSING_DATA_INACTIVE"

        aggregations {
          alignment_period     = conditions.value.period
          per_series_aligner   = conditions.value.aligner
          cross_series_reducer = lookup(conditions.value, "reducer", null)
        }
      }
    }
  }

  # disable_metric_validation: in a fresh project our own metrics are unknown for some minutes.
  dynamic "conditions" {
    for_each = each.value.kind == "promql" ? [each.value.query] : []
    content {
      display_name = each.value.title

      condition_prometheus_query_language {
        query                     = conditions.value
        duration                  = each.value.for
        evaluation_interval       = "60s"
        disable_metric_validation = true
      }
    }
  }

  # Over the long window, so that it matters, and over the short one, so that it still goes on.
  dynamic "conditions" {
    for_each = each.value.kind == "burn" ? each.value.windows : []
    content {
      display_name = "${each.value.title} (${conditions.value})"

      condition_threshold {
        filter          = "select_slo_burn_rate(\"${google_monitoring_slo.objective[each.value.slo].name}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.factor
        duration        = each.value.for
      }
    }
  }

  dynamic "conditions" {
    for_each = each.value.kind == "log" ? [each.value.filter] : []
    content {
      display_name = each.value.title

      condition_matched_log {
        filter = conditions.value
      }
    }
  }

  alert_strategy {
    auto_close = "1800s"

    dynamic "notification_rate_limit" {
      for_each = each.value.kind == "log" ? ["3600s"] : []
      content {
        period = notification_rate_limit.value
      }
    }
  }

  documentation {
    subject   = "[${each.value.severity}] ${each.value.title}"
    mime_type = "text/markdown"
    content = join("\n", concat(
      [each.value.why, "", "Runbook: `runbooks/${each.value.runbook}.md`. Look first (nothing is changed):", "", "```sh"],
      each.value.look,
      ["```"],
    ))

    dynamic "links" {
      for_each = merge(local.alert_links, var.runbook_base_url == null ? {} : {
        Runbook = "${var.runbook_base_url}/${each.value.runbook}.md"
      })
      content {
        display_name = links.key
        url          = links.value
      }
    }
  }

  depends_on = [
    google_logging_metric.counter,
    google_logging_metric.distribution,
    google_monitoring_metric_descriptor.gauge,
  ]
}
