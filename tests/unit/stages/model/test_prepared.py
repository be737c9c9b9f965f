"""Prepared customers, read back row group by row group."""

import pandas as pd
import pytest

from stages import train
from stages.model import prepared, serving
from stages.support import files
from tests.unit.stages.data.files import read, schema, settings, telco, text


@pytest.fixture
def customers() -> pd.DataFrame:
    """60 customers, one of them without a contract."""
    return telco(60).assign(contract=lambda frame: frame["contract"].where(frame.index != 30, ""))


def test_the_features_are_those_of_serving_however_the_rows_are_grouped(customers, tmp_path):
    columns = schema().all | {"contract": schema().all["contract"] | {"nullable": True}}
    frame = read(tmp_path / "customers.csv", text(customers), schema(columns=columns))
    expected = serving.features(frame, columns)
    assert expected["contract"].isna().sum() == 1
    for rows in (7, 60):
        frame.to_parquet(tmp_path / "some.parquet", index=False, row_group_size=rows)
        parts = list(prepared.read(tmp_path / "some.parquet", columns, ("churn", "customer_id")))
        assert len(parts) == -(-60 // rows)
        features, others = (pd.concat(part, ignore_index=True) for part in zip(*parts, strict=True))
        pd.testing.assert_frame_equal(features, expected)
        pd.testing.assert_frame_equal(others, frame[["churn", "customer_id"]])


@pytest.mark.real
def test_the_curve_of_many_customers_is_of_those_that_their_ids_choose(tmp_path, monkeypatch):
    frame = read(tmp_path / "customers.csv", text(telco(1000)))
    for name, place in {"TRAIN": "train.parquet", "PREPARED": "prepared.json"}.items():
        monkeypatch.setattr(train, name, tmp_path / place)
    files.write_json(train.PREPARED, {"train": {"rows": 1000}})
    found = {}
    for most in (300, 1000):
        monkeypatch.setattr(train, "ON_THE_CURVE", most)
        for rows in (77, 1000):
            frame.to_parquet(train.TRAIN, index=False, row_group_size=rows)
            found[most, rows] = train.on_the_curve(settings())
            assert len(train.customers(settings()).target) == train.count_customers() == 1000
        for one, other in zip(found[most, 77], found[most, 1000], strict=True):
            pd.testing.assert_frame_equal(one.frame, other.frame)
    sizes = {most: [len(side.target) for side in found[most, 77]] for most in (300, 1000)}
    assert 250 < sum(sizes[300]) < 350
    assert sum(sizes[1000]) == 1000
    assert all(0.1 < fold / (learn + fold) < 0.3 for learn, fold in sizes.values())
