"""Describe predictions per recording and person, and compare conditions."""
