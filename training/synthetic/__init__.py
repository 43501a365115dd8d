"""Synthetic palms: grown, photographed, written to disk or streamed into a training."""
