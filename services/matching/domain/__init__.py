"""What matching knows and by which rules it decides. `table`, `assign`, `scan`, `left` and `plan` need heavy libraries and are imported by the job alone."""
