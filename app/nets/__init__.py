"""Reads models_store/<net>/<version>/ and runs the nets in it."""
