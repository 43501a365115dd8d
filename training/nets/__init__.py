"""Builds AlexNet, VGG16 and VGG19."""
