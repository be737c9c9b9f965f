"""The split: decided by the id alone, for good."""

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from stages.data.split import held_out, positions

IDS = pd.Series([f"C{number:05d}" for number in range(20_000)])


def test_a_place_is_the_first_half_of_the_md5_of_salt_and_id():
    # md5("abc") is 900150983cd24fb0d6963f7d28e17f72 (RFC 1321, A.5).
    assert positions(pd.Series(["c"]), "ab")[0] == 0x900150983CD24FB0 / 2**64
    assert positions(pd.Series(["abc"]), "")[0] == 0x900150983CD24FB0 / 2**64


def test_a_customer_stays_on_its_side_as_the_data_grows_and_whatever_the_order():
    side = dict(zip(IDS, held_out(IDS, "salt", 0.2), strict=True))
    some = IDS.sample(500, random_state=1)
    assert held_out(some, "salt", 0.2).tolist() == [side[id_] for id_ in some]


def test_a_larger_share_holds_out_the_same_customers_and_more():
    small, large = held_out(IDS, "salt", 0.1), held_out(IDS, "salt", 0.3)
    assert not (small & ~large).any()
    assert large.sum() > small.sum()


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_share_is_right_within_four_standard_errors(share):
    error = np.sqrt(share * (1 - share) / len(IDS))
    assert abs(held_out(IDS, "predictflow", share).mean() - share) < 4 * error


def test_another_salt_is_another_split():
    both = held_out(IDS, "one", 0.5) & held_out(IDS, "other", 0.5)
    assert 0.23 < both.mean() < 0.27


def test_ids_in_any_script_have_a_place():
    found = positions(pd.Series(["Zürich", "東京", ""]), "é")
    expected = [
        int(hashlib.md5(f"é{id_}".encode()).hexdigest()[:16], 16) / 2**64 for id_ in ("Zürich", "東京", "")
    ]
    assert found.tolist() == expected


def test_no_customers_have_no_places():
    assert held_out(IDS[:0], "salt", 0.2).tolist() == []


def test_the_hash_seed_of_python_changes_nothing():
    program = (
        "import pandas as pd; from stages.data.split import held_out;"
        "print(held_out(pd.Series([str(i) for i in range(200)]), 'salt', 0.5).tolist())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(said) == 1
