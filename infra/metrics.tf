# What the code emits, as metrics.yaml has it (made from the table in the code; a test compares them). Gauges are written
# by the sweep, counters are log lines counted by Cloud Logging.

locals {
  metrics = yamldecode(file("${path.module}/metrics.yaml"))

  of_our_services = join(" AND ", [
    "resource.type = \"cloud_run_revision\"",
    "resource.labels.service_name = (\"${local.names.api}\" OR \"${local.names.worker}\")",
  ])

  # Values that filters of metrics.yaml compare with.
  metric_values = { max_delivery_attempts = var.push.max_delivery_attempts }

  counters = {
    for one in local.metrics.counters : one.name => merge(one, {
      filter = join(" AND ", concat(
        [local.of_our_services, "jsonPayload.action = (${join(" OR ", [for action in one.actions : "\"${action}\""])})"],
        [for fact, name in one.above : "jsonPayload.${fact} > ${local.metric_values[name]}"],
      ))
    })
  }
}

resource "google_monitoring_metric_descriptor" "gauge" {
  for_each = { for one in local.metrics.gauges : one.name => one }

  type         = "custom.googleapis.com/headgate/${each.key}"
  display_name = "headgate: ${each.key}"
  description  = each.value.help
  metric_kind  = "GAUGE"
  value_type   = "DOUBLE"
  unit         = each.value.unit

  dynamic "labels" {
    for_each = each.value.labels
    content {
      key        = labels.value
      value_type = "STRING"
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "counter" {
  for_each = local.counters

  name        = "headgate_${each.key}"
  description = each.value.help
  filter      = each.value.filter

  label_extractors = { for label, fact in each.value.labels : label => "EXTRACT(jsonPayload.${fact})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_logging_metric" "distribution" {
  for_each = { for one in local.metrics.distributions : one.name => one }

  name            = "headgate_${each.key}"
  description     = each.value.help
  filter          = "${local.of_our_services} AND jsonPayload.action = \"${each.value.action}\""
  value_extractor = "EXTRACT(jsonPayload.${each.value.fact})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit
  }

  bucket_options {
    explicit_buckets {
      bounds = each.value.bounds
    }
  }

  depends_on = [google_project_service.api]
}
