"""Reads models_store/<net>/<version>/ and runs what it finds."""
