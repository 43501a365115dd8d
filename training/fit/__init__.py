"""Trains a net: batches, loop, checkpoints, guard."""
