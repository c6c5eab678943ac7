locals {
  labels = {
    app         = "headgate"
    environment = var.environment
  }

  # Names that several files need, some of them before the thing exists.
  names = {
    runs         = "runs"
    push         = "runs-push"
    dead_letters = "runs-dead-letters"
    letters_push = "runs-dead-letters-push"
    letters_pull = "runs-dead-letters-pull"
    api          = "headgate-api"
    worker       = "headgate-worker"
    policy       = "headgate-policy"
  }

  # The audience of the tokens that Pub/Sub and the scheduler send. The worker must know it before it has a URL.
  worker_audience = "https://${local.names.worker}.${var.project_id}.internal"

  # Severities of the catalogue, and the field of the alert_* variables that goes with each.
  severities = { WARNING = "warning", ERROR = "error", CRITICAL = "critical" }
}
