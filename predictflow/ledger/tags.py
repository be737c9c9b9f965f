"""Annotated tags as Git keeps them, and the messages of those that are receipts.

Such a message is a line for people, an empty line, and a line of canonical JSON.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from predictflow.adapters.git import Repository
from predictflow.formatting import Json
from stages.support.errors import UserError

TAG_FIELDS = (
    "refname:strip=2",
    "objecttype",
    "objectname",
    "*objecttype",
    "*objectname",
    "tag",
    "taggerdate:unix",
    "taggername",
    "taggeremail",
    "contents",
    "contents:signature",
)
MESSAGE = re.compile(r"[^\n]+\n\n(\{[^\n]*\})\n*")


@dataclass(frozen=True)
class Tag:
    """An annotated tag.

    Attributes:
        object: the id of the tag itself.
        commit: the id of what it points to.
        time: seconds since 1970.
        who: Name <email>, as Git has it.
        signature: its text; empty where the tag has none. `signatures.verify` tells whether it is good.
    """

    name: str
    object: str
    commit: str
    time: int
    who: str
    signature: str

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> "Tag":
        """The tag of which these are TAG_FIELDS."""
        return cls(
            name=fields["refname:strip=2"],
            object=fields["objectname"],
            commit=fields["*objectname"],
            time=int(fields["taggerdate:unix"] or 0),
            who=f"{fields['taggername']} {fields['taggeremail']}",
            signature=fields["contents:signature"],
        )


def read_tags(repository: Repository, *patterns: str) -> Iterator[dict[str, str]]:
    """{field: value} of each tag under some refs, by TAG_FIELDS; also of those that are not annotated.

    Raises CouldNotTell where a tag's object holds other bytes than its id says.
    """
    form = "".join(f"%({field})%00" for field in TAG_FIELDS)
    values = repository.read("for-each-ref", f"--format={form}", *patterns).split("\0")
    for _ in repository.blobs(values[TAG_FIELDS.index("objectname") : -1 : len(TAG_FIELDS)]):
        pass  # each is held against its id
    for start in range(0, len(values) - 1, len(TAG_FIELDS)):
        name, *others = values[start : start + len(TAG_FIELDS)]
        yield dict(zip(TAG_FIELDS, [name.removeprefix("\n"), *others], strict=True))


def write_tag(repository: Repository, name: str, message: str, commit: str, date: int, sign: bool) -> None:
    """Write an annotated tag, dated `date` (seconds since 1970). Raises UserError where Git cannot."""
    words = ["tag", "-a", *(["-s"] if sign else []), "-F", "-", "--cleanup=verbatim", "--", name, commit]
    try:
        done = repository.git(*words, given=message, env={"GIT_COMMITTER_DATE": f"@{date} +0000"})
    except UnicodeEncodeError as error:
        raise UserError(f"a receipt is UTF-8, and its text is not: {error}\nCure: other words.") from None
    if done.returncode:
        cure = "`git config user.signingkey …`, or go without a signature." if sign else "`git fsck`."
        reason = done.stderr.decode(errors="replace").strip()
        raise UserError(f"the receipt {name} cannot be written: {reason}\nCure: {cure}")


def identity(repository: Repository) -> str:
    """Who writes, as Git will have it in the tag. Raises UserError where Git does not know."""
    asked = repository.git("var", "GIT_COMMITTER_IDENT")
    if asked.returncode:
        raise UserError(
            "Git does not know who you are, and a receipt names who wrote it.\n"
            "Cure: `git config user.name …` and `git config user.email …`."
        )
    return asked.stdout.decode(errors="replace").rsplit(" ", 2)[0]


def canonical(body: Json) -> str:
    """One line of JSON, the same for the same values. Raises ValueError for what JSON has not (NaN)."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def format_message(line: str, body: Json) -> str:
    return f"{line}\n\n{canonical(body)}\n"


def parse_message(text: str, keys: set[str], layout: int) -> Json | None:
    """The JSON of a message that has these keys and this layout; None for any other message."""
    parts = MESSAGE.fullmatch(text)
    if parts is None:
        return None
    try:
        body = json.loads(parts[1])
        known = canonical(body) == parts[1] and set(body) == keys and body["receipt"] == layout
    except (ValueError, RecursionError):
        return None
    return body if known else None
