"""The gallery of enrolled subjects: its protocol, its index in memory and its stores."""
