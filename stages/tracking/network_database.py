"""A database in a network that is the tracking store itself, without MLflow's server before it."""

from stages.support.deadline import in_time
from stages.support.errors import UserError, masked

ANSWER_TIMEOUT = 10  # seconds


def ensure_answers(uri: str) -> None:
    """Ask such a database once: MLflow itself asks one that does not let it in fifteen times, for minutes.

    Raises OSError with the reason, without a password, where it does not answer or let in, and UserError
    where Python cannot speak to it.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    def ask() -> None:
        create_engine(address, poolclass=NullPool).connect().close()

    try:
        address = make_url(uri)
        address.get_dialect()
    except (SQLAlchemyError, ValueError):
        return  # it is no database: MLflow says what it takes
    too_late = f"no answer within {ANSWER_TIMEOUT} seconds"
    try:
        in_time(ask, ANSWER_TIMEOUT, too_late)
    except ImportError as error:
        raise UserError(
            f"the tracking store {masked(uri)} needs a driver that is not installed here: {error}.\n"
            f"Cure: install the driver of {address.drivername}; that of postgresql+psycopg is"
            " `python -m pip install 'psycopg[binary]'`."
        ) from None
    except SQLAlchemyError as error:
        said = masked(str(getattr(error, "orig", None) or error))
        first = next(iter(said.splitlines()), type(error).__name__)
        if isinstance(address.password, str) and address.password:
            first = first.replace(address.password, "…")
        raise ConnectionError(first) from None
