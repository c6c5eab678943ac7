terraform {
  # 1.9: the validation of a variable may look at others.
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7, < 9"
    }
  }

  # Where the state lives is the environment's business: see backend.tf.example.
}
