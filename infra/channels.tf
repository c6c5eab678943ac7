# Who is told, by severity: the addresses of alert_emails, and the channels of alert_channels that exist already.

locals {
  addresses = toset(concat(var.alert_emails.warning, var.alert_emails.error, var.alert_emails.critical))

  channels = {
    for severity, field in local.severities : severity => concat(
      [for address in var.alert_emails[field] : google_monitoring_notification_channel.email[address].name],
      var.alert_channels[field],
    )
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = local.addresses

  display_name = "headgate: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
  user_labels  = local.labels

  depends_on = [google_project_service.api]
}
