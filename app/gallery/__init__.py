"""Where enrolled subjects live: the `Gallery` protocol and its stores."""
