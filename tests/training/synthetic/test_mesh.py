"""The mesh of small veins."""

import numpy as np

from training.synthetic.mesh import draw_mesh
from training.synthetic.vessels import grow_vessels


def test_the_mesh_covers_more_of_the_palm_than_the_large_veins() -> None:
    for seed in range(3):
        mesh = draw_mesh(np.random.default_rng(seed))
        nodes = len(np.unique(grow_vessels(np.random.default_rng(seed)).points[:, :2] // 4, axis=0))
        cells = (mesh[:176, :176].reshape(44, 4, 44, 4).max(axis=(1, 3)) > 100).sum()
        assert cells > 1.2 * nodes


def test_meshes_differ_although_all_have_an_arch() -> None:
    meshes = [draw_mesh(np.random.default_rng(seed)).astype(np.float32) for seed in range(40)]
    mean = np.mean(meshes, axis=0)
    arch, wrist = mean[60:95, 60:116], mean[140:175, 60:116]
    assert arch.mean() > 1.2 * wrist.mean()
    assert np.corrcoef(meshes[0].ravel(), meshes[1].ravel())[0, 1] < 0.3
