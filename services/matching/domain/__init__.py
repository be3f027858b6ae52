"""What matching knows and by which rules it decides.

`table`, `assign`, `scan`, `left`, `plan` and, for peers and groups, `peer_score`, `peers`, `swaps`, `circles`, `together` and `groups` need
heavy libraries and are imported by the job and the command alone.
"""
