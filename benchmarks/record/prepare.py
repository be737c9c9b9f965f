"""customers.csv to data/prepared/."""

from pathlib import Path

import bare

if __name__ == "__main__":
    params = bare.params()
    folder = Path("data/prepared")
    folder.mkdir(parents=True, exist_ok=True)
    train, test = bare.split(params["prepare"]["test_share"], params["seed"])
    train.to_parquet(folder / "train.parquet")
    test.to_parquet(folder / "test.parquet")
