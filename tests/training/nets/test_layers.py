import numpy as np

from training.nets.layers import RELU_GAIN, CosineClassifier, LocalContrast, ScaledConv2D


def test_local_contrast_does_not_depend_on_gain_and_brightness() -> None:
    layer = LocalContrast(shrink=1, window_px=7, floor=1e-6)
    image = np.random.default_rng(0).integers(20, 80, (1, 32, 32, 3)).astype(np.uint8)
    np.testing.assert_allclose(layer(image), layer(image * 2 + 30), atol=1e-3)


def box_average(x: np.ndarray) -> np.ndarray:
    """Two averages over 3x3 pixels; at the border over those inside the image."""
    inside = np.pad(np.ones_like(x), 1)
    rows, columns = x.shape
    windows = [np.s_[dy : dy + rows, dx : dx + columns] for dy in range(3) for dx in range(3)]
    for _ in range(2):
        padded = np.pad(x, 1)
        x = sum(padded[w] for w in windows) / sum(inside[w] for w in windows)
    return x


def test_local_contrast_is_the_deviation_from_the_neighbourhood_in_its_units() -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 24, 24, 3), np.uint8)
    grey = image[0].mean(axis=2) / 255
    centred = grey - box_average(grey)
    expected = centred / (np.sqrt(box_average(centred**2)) + 0.01)
    found = np.asarray(LocalContrast(shrink=1, window_px=3)(image))[0, ..., 0]
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_scaled_convolution_standardises_every_filter() -> None:
    layer = ScaledConv2D(8)
    layer.build((None, 16, 16, 5))
    layer.set_weights([np.random.default_rng(0).normal(3, 2, (3, 3, 5, 8)), np.ones(8), np.ones(8)])
    kernel, bias = layer.folded_weights()
    raw = np.asarray(layer.get_weights()[0]).reshape(-1, 8)
    expected = RELU_GAIN * (raw - raw.mean(0)) / (raw.std(0) * np.sqrt(45))
    np.testing.assert_allclose(kernel.reshape(-1, 8), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(bias, np.ones(8))


def test_layers_are_rebuilt_from_their_configuration() -> None:
    for layer in (CosineClassifier(7), LocalContrast(2, 9), ScaledConv2D(4, 2)):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
