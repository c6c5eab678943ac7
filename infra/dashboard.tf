# One dashboard, made of the catalogue: each alert with its threshold drawn in, in six rows.

locals {
  rows = {
    admission    = "Admission"
    line         = "The line"
    worker       = "Pub/Sub and workers"
    slots        = "Slots and fairness"
    drain        = "Drain and pauses"
    dependencies = "Dependencies"
  }
  row_order = ["admission", "line", "slots", "drain", "worker", "dependencies"]

  # A line in the log has no chart.
  charts      = { for row in local.row_order : row => [for id, e in local.catalogue : id if e.row == row && e.kind != "log"] }
  row_heights = { for row in local.row_order : row => 4 + 12 * ceil(length(local.charts[row]) / 3) }
  row_tops = {
    for index, row in local.row_order :
    row => sum(concat([0], [for earlier in slice(local.row_order, 0, index) : local.row_heights[earlier]]))
  }

  tiles = flatten([
    for row in local.row_order : concat(
      [{
        xPos   = 0, yPos = local.row_tops[row], width = 48, height = 4,
        widget = { title = local.rows[row], text = { content = "", format = "MARKDOWN" } }
      }],
      [for index, id in local.charts[row] : {
        xPos   = index % 3 * 16
        yPos   = local.row_tops[row] + 4 + floor(index / 3) * 12
        width  = 16
        height = 12
        widget = { alertChart = { name = google_monitoring_alert_policy.alert[id].name } }
      }],
    )
  ])
}

resource "google_monitoring_dashboard" "headgate" {
  dashboard_json = jsonencode({
    displayName  = "headgate"
    labels       = { for key, value in local.labels : key => "" }
    mosaicLayout = { columns = 48, tiles = local.tiles }
  })

  lifecycle {
    precondition {
      condition     = length(local.tiles) <= 50
      error_message = "A dashboard has at most 50 widgets."
    }
  }
}
