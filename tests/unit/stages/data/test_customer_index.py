"""The index of a side: whose rows it holds, in 16 bytes each, without a name."""

import hmac
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from stages.data import customer_index
from stages.data.customer_index import RECORD, digest, digests, holds, write
from stages.support.errors import UserError

IDS = [f"C{number:05d}" for number in range(1000)]


def indexed(path: Path, ids: list[str], salt: str = "salt") -> Path:
    write(path, digests(ids, salt))
    return path


def test_a_hash_is_the_first_half_of_hmac_sha256():
    # RFC 4231, test case 2.
    assert digest("what do ya want for nothing?", "Jefe").hex() == "5bdcc146bf60754e6a042426089575c7"
    for id_, salt in (
        ("C00001", "salt"),
        ("東京", "Zürich"),
        ("", "s"),
        ("C1", "k" * 64),
        ("C1", "k" * 65),
        ("C1", "long " * 100),
    ):
        assert digest(id_, salt) == hmac.digest(salt.encode(), id_.encode(), "sha256")[:RECORD]


def test_many_ids_have_the_hashes_that_each_has_alone():
    assert list(digests(IDS, "salt")) == [digest(id_, "salt") for id_ in IDS]


def test_ids_that_differ_in_anything_have_different_hashes():
    # "é" in one and in two code points: what the file writes is what counts.
    ids = ["C1", "c1", " C1", "C1 ", "C01", "\u00e9", "e\u0301"]
    assert len({digest(id_, "salt") for id_ in ids}) == len(ids)
    assert digest("b", "sa") != digest("ab", "s"), "salt and id are not just put together"


def test_an_index_is_the_sorted_hashes_and_nothing_else(tmp_path):
    content = indexed(tmp_path / "an.index", IDS).read_bytes()
    records = [content[at : at + RECORD] for at in range(0, len(content), RECORD)]
    assert len(content) == 16 * len(IDS)
    assert records == sorted(records)
    assert set(records) == {digest(id_, "salt") for id_ in IDS}


def test_the_order_of_the_customers_changes_no_byte(tmp_path):
    shuffled = random.Random(1).sample(IDS, len(IDS))
    first, second = indexed(tmp_path / "a.index", IDS), indexed(tmp_path / "b.index", shuffled)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 1000])
def test_every_customer_is_found_and_no_other(tmp_path, size):
    path = indexed(tmp_path / "an.index", IDS[:size])
    assert all(holds(path, digest(id_, "salt")) for id_ in IDS[:size])
    assert not any(holds(path, digest(f"other {id_}", "salt")) for id_ in IDS)
    assert not any(holds(path, digest(id_, "another salt")) for id_ in IDS[:size])


def test_the_first_and_the_last_are_found_and_what_lies_before_and_after_them_is_not(tmp_path):
    path = tmp_path / "an.index"
    inside = [bytes(15) + b"\x01", b"\x7f" * RECORD, b"\xff" * 15 + b"\xfe"]
    write(path, reversed(inside))
    assert [holds(path, one) for one in inside] == [True, True, True]
    outside = [bytes(RECORD), b"\x7f" * 15 + b"\x80", b"\xff" * RECORD]
    assert [holds(path, one) for one in outside] == [False, False, False]


def test_bytes_that_stand_across_two_records_are_no_customer(tmp_path):
    path = indexed(tmp_path / "an.index", IDS)
    content = path.read_bytes()
    across = [content[at : at + RECORD] for at in range(8, len(content) - RECORD, RECORD)]
    assert not any(holds(path, one) for one in across)


def test_an_index_of_nobody_holds_nobody(tmp_path):
    path = indexed(tmp_path / "an.index", [])
    assert path.read_bytes() == b""
    assert not holds(path, digest("C00001", "salt"))


@pytest.mark.parametrize("cut", [1, 8, 15])
def test_an_index_that_was_cut_short_is_refused_with_its_path_and_a_cure(tmp_path, cut):
    path = indexed(tmp_path / "cut.index", IDS)
    os.truncate(path, 16 * len(IDS) - cut)
    with pytest.raises(UserError) as told:
        holds(path, digest(IDS[0], "salt"))
    assert f"{path} is no index of customers: its {16 * len(IDS) - cut} bytes" in str(told.value)
    assert f"Cure: `rm {path}`" in str(told.value)


def test_an_index_is_not_read_whole_to_answer(tmp_path):
    path = tmp_path / "vast.index"
    path.touch()
    os.truncate(path, 1 << 38)  # nothing but a hole on the disk; too much to read, or to hold
    assert holds(path, bytes(RECORD))
    assert not holds(path, bytes(15) + b"\x01")


def test_asking_an_index_imports_nothing_but_the_standard_library():
    """A command that only asks must start at once."""
    program = (
        f"import sys; import {customer_index.__name__}; print(*{{n.split('.')[0] for n in sys.modules}})"
    )
    words = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    bare = subprocess.run(
        [sys.executable, "-c", "import sys; print(*{n.split('.')[0] for n in sys.modules})"],
        capture_output=True,
        check=True,
        text=True,
    )
    new = set(words.stdout.split()) - set(bare.stdout.split())
    assert new - set(sys.stdlib_module_names) == {"stages"}
