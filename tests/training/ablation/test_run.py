import numpy as np

from tests.training.toy_palms import make_palms
from training.ablation.run import first_identities
from training.database.split import Split


def test_identities_keep_their_labels_where_one_is_missing_from_a_part() -> None:
    palms = make_palms(5, 3, 2)
    missing = palms.select((palms.labels != 1) & (palms.sessions == 1))
    split = Split(palms.select(palms.sessions == 0), missing, missing, "session")
    cut = first_identities(split, 3)
    assert cut.train.identities == cut.validation.identities == ("p000", "p001", "p002")
    assert set(cut.train.labels.tolist()) == {0, 1, 2}
    assert set(cut.validation.labels.tolist()) == {0, 2}
    np.testing.assert_array_equal(first_identities(split, None).train.labels, split.train.labels)
