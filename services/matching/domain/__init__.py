"""What matching knows and by which rules it decides. `score`, `assign` and `plan` need numpy and are imported by the job alone."""
