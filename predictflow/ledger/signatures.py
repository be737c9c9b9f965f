"""Whose signatures count, and what Git says of the signature of a tag."""

import re
import tempfile
from dataclasses import dataclass

from predictflow.adapters.dvc_files import parse_params
from predictflow.adapters.git import Repository
from predictflow.ledger.tags import Tag
from stages.support.paths import PARAMS

KEY = "promote.signers"
OF_SSH = "-----BEGIN SSH SIGNATURE-----"  # of any other kind, Git would ask the keyring of who runs it
# `git verify-tag` tells what it thinks of a signature in one line, ssh-keygen's or gpg's.
VERDICT = re.compile(r"^(?:gpg: )?(Good .*|BAD .*|Could not verify.*|error: .*)$", re.MULTILINE)


@dataclass(frozen=True)
class Signers:
    """The keys whose receipts count.

    Attributes:
        text: in Git's own format of allowed signers.
        where: the file and the commit that it was read from, for people.
    """

    text: str
    where: str


def read_signers(repository: Repository, commit: str | None) -> Signers | None:
    """Those that promote.signers of a commit's params.yaml names; None where it names none.

    No key is listed, and so no receipt counts, where that file is not in the commit, or params.yaml cannot be
    read.
    """
    (params,) = repository.ids([f"{commit}:{PARAMS}"]) if commit else [None]
    if params is None:
        return None
    settings = parse_params(next(repository.blobs([params]))[1])
    # One that is no mapping has no names: then the file is params.yaml itself, which lists no key.
    path = settings.get(KEY) if any(settings) else PARAMS.as_posix()
    if path is None:
        return None
    (listed,) = repository.ids([f"{commit}:{path}"])
    text = next(repository.blobs([listed]))[1].decode(errors="replace") if listed else ""
    return Signers(text, f"{path} of commit {(commit or '')[:10]}")


def verify(repository: Repository, tag: Tag, signers: Signers | None = None) -> tuple[bool, str]:
    """Whether Git finds the signature of a tag good, and what it says of it, with the key's name.

    Args:
        signers: only their keys are good; None for those that this Git is set up with.
    """
    if not tag.signature:
        return False, "it is not signed"
    if signers is None:
        done = repository.git("verify-tag", tag.object)
    elif not tag.signature.startswith(OF_SSH):
        return False, "its signature is none of SSH's"
    else:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(signers.text)
            file.flush()
            settings = f"gpg.ssh.allowedSignersFile={file.name}", "gpg.ssh.program=ssh-keygen"
            done = repository.git("-c", settings[0], "-c", settings[1], "verify-tag", tag.object)
    said = done.stderr.decode(errors="replace").strip()
    verdict = VERDICT.search(said)
    return done.returncode == 0, verdict[1] if verdict else said.partition("\n")[0]
