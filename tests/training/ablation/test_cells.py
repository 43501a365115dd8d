from training.ablation.cells import CELLS
from training.ablation.plots import CURVES, DEPTH
from training.nets.recipe import PRESETS


def test_every_cell_has_a_name_of_its_own_and_the_question_comes_first() -> None:
    names = [cell.name for cell in CELLS]
    assert len(set(names)) == len(names)
    assert CELLS[0].name == "as-posted"
    assert CELLS[0].recipe == PRESETS["as-posted"]


def test_plotted_cells_exist() -> None:
    assert {*CURVES, *DEPTH} <= {cell.name for cell in CELLS}
