"""Chooses the folder of a new version."""

from pathlib import Path

from app.nets.manifest import versions


def target_folder(store: Path, net: str, version: int | None) -> Path:
    """Returns the folder of a new version of a net, which does not exist yet.

    Args:
        store: the models store.
        net: name of the net.
        version: its version; None for one more than the highest.

    Raises:
        ValueError: if the version is below 1.
        FileExistsError: if the version exists.
    """
    if version is not None and version < 1:
        raise ValueError(f"--version must be at least 1, not {version}")
    target = store / net / str(version or max(versions(store, net), default=0) + 1)
    if target.exists():
        raise FileExistsError(
            f"{target} exists, and versions cannot be changed: choose another --version"
        )
    return target
