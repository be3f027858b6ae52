"""Helpers of the core's tests."""
