"""AlexNet, VGG16 and VGG19: recipes, layers, losses and weights."""
