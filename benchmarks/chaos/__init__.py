"""Chaos: faults drawn by a seed while load runs on, and a ledger outside that says afterwards whether all of it was true."""
