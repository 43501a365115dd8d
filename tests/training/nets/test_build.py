import keras
import numpy as np
import pytest

from training.nets.build import NETS, build_net, fold, scoring_model
from training.nets.layers import ScaledConv2D
from training.nets.recipe import PRESETS, Recipe


def images(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), np.uint8)


def convolution(side: int, inputs: int, outputs: int) -> int:
    return side * side * inputs * outputs + outputs


def vgg_body(filters: tuple[int, ...], repeats: tuple[int, ...]) -> int:
    total, inputs = 0, 3
    for width, count in zip(filters, repeats, strict=True):
        for _ in range(count):
            total += convolution(3, inputs, width)
            inputs = width
    return total


def paper_head(inputs: int) -> int:
    return (inputs + 1) * 4096 + 4097 * 4096 + 4097 * 160


@pytest.mark.parametrize(
    ("net", "filters", "expected"),
    [
        # AlexNet: five convolutions, two BatchNorms of four numbers a channel, 7 x 7 at the end.
        (
            "alexnet",
            "reduced",
            convolution(3, 3, 32)
            + convolution(3, 32, 64)
            + convolution(3, 64, 128)
            + convolution(3, 128, 128)
            + convolution(3, 128, 64)
            + 4 * (32 + 64)
            + paper_head(7 * 7 * 64),
        ),
        (
            "alexnet",
            "original",
            convolution(11, 3, 96)
            + convolution(5, 96, 256)
            + convolution(3, 256, 384)
            + convolution(3, 384, 384)
            + convolution(3, 384, 256)
            + 4 * (96 + 256)
            + paper_head(7 * 7 * 256),
        ),
        (
            "vgg16",
            "reduced",
            vgg_body((32, 64, 96, 128, 128), (2, 2, 3, 3, 3)) + paper_head(7 * 7 * 128),
        ),
        (
            "vgg19",
            "reduced",
            vgg_body((32, 64, 96, 128, 128), (2, 2, 4, 4, 4)) + paper_head(7 * 7 * 128),
        ),
        # 14,714,688 and 20,024,384: what Keras's own VGG16 and VGG19 have without their top.
        ("vgg16", "original", 14_714_688 + paper_head(7 * 7 * 512)),
        ("vgg19", "original", 20_024_384 + paper_head(7 * 7 * 512)),
    ],
)
def test_the_papers_nets_have_the_parameters_counted_by_hand(
    net: str, filters: str, expected: int
) -> None:
    recipe = Recipe(filters=filters, head="paper", normalization="none", input="rescaled")
    assert build_net(net, 160, recipe).count_params() == expected


def test_posted_vgg16_has_the_43_of_44_million_parameters_in_its_head() -> None:
    net = build_net("vgg16", 160, PRESETS["as-posted"])
    head = sum(net.get_layer(name).count_params() for name in ("dense1", "dense2", "probabilities"))
    assert round(net.count_params() / 1e6) == 44
    assert round(head / 1e6) == 43


def test_posted_net_sees_raw_images_and_no_augmentation_though_it_builds_both() -> None:
    net = build_net("vgg16", 4, PRESETS["as-posted"], input_px=32)
    first = keras.Model(net.input, net.get_layer("block1_conv1").input)
    images = images(2, 32)
    np.testing.assert_array_equal(first(images, training=True), images)


def test_connected_preprocessing_reaches_the_first_convolution() -> None:
    recipe = Recipe(head="paper", normalization="none", input="rescaled", augment="paper")
    net = build_net("vgg16", 4, recipe, input_px=32)
    first = keras.Model(net.input, net.get_layer("block1_conv1").input)
    images = images(2, 32)
    np.testing.assert_allclose(first(images, training=False), images / 255, atol=1e-6)
    assert not np.allclose(first(images, training=True), first(images, training=True))


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("normalization", ["none", "bare", "batch", "weight"])
def test_normalisation_is_where_the_recipe_says(net: str, normalization: str) -> None:
    layers = build_net(net, 3, Recipe(normalization=normalization), input_px=32).layers
    norms = [x for x in layers if isinstance(x, keras.layers.BatchNormalization)]
    convolutions = [x for x in layers if isinstance(x, keras.layers.Conv2D | ScaledConv2D)]
    in_the_body = len(norms) - 1  # the embedding's own
    expected = {
        "none": 2 if net == "alexnet" else 0,
        "weight": 2 if net == "alexnet" else 0,
        "bare": 0,
        "batch": len(convolutions),
    }
    assert in_the_body == expected[normalization]
    assert isinstance(convolutions[0], ScaledConv2D) == (normalization == "weight")


def test_initialiser_is_the_one_asked_for() -> None:
    net = build_net("vgg16", 3, Recipe(normalization="none", init="he_normal"), input_px=32)
    kernel = np.asarray(net.get_layer("block5_conv2").kernel)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.03)


@pytest.mark.parametrize("normalization", ["none", "batch", "weight"])
def test_folded_net_answers_as_the_trained_one_whatever_its_normalisation(
    normalization: str,
) -> None:
    recipe = Recipe(
        normalization=normalization, input="standardized", augment="paper", embedding_size=8
    )
    trained = build_net("vgg16", 4, recipe, input_px=32)
    images = images(3, 32)
    found = fold(trained, recipe)(images, training=False)
    np.testing.assert_allclose(
        found["similarity"], trained(images, training=False)["similarity"], atol=1e-4
    )


def test_standardised_input_has_mean_0_and_deviation_1_in_every_image() -> None:
    net = build_net("vgg16", 3, Recipe(input="standardized"), input_px=32)
    first = keras.Model(net.input, net.get_layer("block1_conv1").input)
    seen = np.asarray(first(images(3, 32) // 4 + 60))
    np.testing.assert_allclose(seen.mean(axis=(1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(seen.std(axis=(1, 2, 3)), 1, atol=1e-4)


def test_imagenet_input_is_what_keras_itself_feeds_vgg() -> None:
    net = build_net("vgg16", 3, PRESETS["transfer"], input_px=32)
    first = keras.Model(net.input, net.get_layer("block1_conv1").input)
    images = images(2, 32)
    expected = keras.applications.vgg16.preprocess_input(images.astype(np.float32))
    np.testing.assert_allclose(first(images, training=False), expected, atol=1e-3)


def test_what_is_trained_is_the_similarity_or_the_probabilities() -> None:
    shipped = scoring_model(build_net("alexnet", 3, Recipe(), input_px=32))
    assert shipped.layers[-1].name == "similarity"
    paper = scoring_model(build_net("alexnet", 3, PRESETS["as-posted"], input_px=32))
    found = np.asarray(paper(images(2, 32)))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
