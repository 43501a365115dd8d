"""The index: finds whose palm a probe is, in memory."""
