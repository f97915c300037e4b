"""Provide what every folder stands on: files, threads, hardware, reports of jobs."""
