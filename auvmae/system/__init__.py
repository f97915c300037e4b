"""Provide the shared utilities for files, threads, hardware and job reports."""
