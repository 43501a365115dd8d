"""The net that finds the palm in a photograph: images, loss, training and figures."""
