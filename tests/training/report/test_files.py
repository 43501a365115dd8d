from pathlib import Path

import pytest

from training.report.files import replacing, write_text


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "new" / "result.json"
    write_text(target, "first")
    with replacing(target) as unfinished:
        unfinished.write_text("sec")
        assert target.read_text() == "first"
    assert target.read_text() == "sec"
    assert list(target.parent.iterdir()) == [target]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    write_text(target, "first")

    def fail() -> None:
        with replacing(target) as unfinished:
            unfinished.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_takes_its_place_with_all_its_files(tmp_path: Path) -> None:
    target = tmp_path / "vgg16" / "1"
    with replacing(target) as unfinished:
        unfinished.mkdir()
        (unfinished / "manifest.json").write_text("{}")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["manifest.json"]


def test_a_folder_that_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".unfinished-1").mkdir()
    (tmp_path / ".unfinished-1" / "half").touch()
    with replacing(tmp_path / "1") as unfinished:
        unfinished.mkdir()
    assert list((tmp_path / "1").iterdir()) == []


def test_a_folder_that_exists_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "1"
    target.mkdir()
    (target / "manifest.json").write_text("first")

    with pytest.raises(FileExistsError, match="1 exists: remove it"), replacing(target):
        pytest.fail("the caller must not start to write")
    assert (target / "manifest.json").read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]
