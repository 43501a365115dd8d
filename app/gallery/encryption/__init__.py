"""What is stored is encrypted under subjects' keys, and they under the master key."""
