"""Tests of `auvmae.summaries`."""
