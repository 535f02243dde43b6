"""Whose rights the servers get, and programs where that user can run them.

Postgres refuses to run as root. Root therefore hands the servers to the user nobody,
which exists everywhere and owns nothing; no user is ever created.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestration.adapters.embedded.supervisor import Command, RunAs, Supervisor
from orchestration.errors import (
    EmbeddedServerError,
)

_LEFT_OUT = shutil.ignore_patterns("include", "*.a", "__pycache__")


def server_identity(supervisor: Supervisor) -> RunAs:
    """Return whose rights servers with data in the supervisor's folder get.

    An ordinary user's servers are their own. Root's are nobody's, or, where nobody
    cannot enter the folder (below a home closed to others), root's own but seen as
    nobody in a user namespace.

    Raises:
        EmbeddedServerError: Root asked for a closed folder, and the system allows no
            user namespace.
    """
    if os.geteuid() != 0:
        return RunAs()
    if supervisor.temporary:
        supervisor.folder.chmod(0o711)
    harmless = _harmless_user()
    nobody = RunAs(uid=harmless.pw_uid, gid=harmless.pw_gid)
    if _may(supervisor, nobody, "cd", str(supervisor.folder)):
        return nobody
    namespaced = RunAs(namespace_uid=harmless.pw_uid)
    if _may(supervisor, namespaced, "true"):
        return namespaced
    raise EmbeddedServerError(
        f"Postgres does not run as root, and user {harmless.pw_name!r} cannot enter "
        f"{supervisor.folder}: choose a data folder that others may pass through "
        f"(chmod o+x on it and all above it), or run as an ordinary user"
    )


def named_identity(run_as: RunAs) -> RunAs:
    """Return an identity that has a name, which initdb looks up.

    A container may run under a number that /etc/passwd does not know; such a user
    appears as nobody in a user namespace.
    """
    if run_as != RunAs():
        return run_as
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return RunAs(namespace_uid=_harmless_user().pw_uid)
    return run_as


def reachable(
    program: Path, trees: Sequence[Path], supervisor: Supervisor, run_as: RunAs
) -> Path:
    """Return ``program``, or a copy where the user of ``run_as`` can run it.

    Args:
        program: A program inside the first of the trees, or that tree itself.
        trees: Siblings to copy: the program's own and those it loads libraries from.
        supervisor: The copy is put into its scratch folder, and goes with it.
        run_as: Who is to run the program.
    """
    if run_as.uid is None or run_as.gid is None:
        return program
    if _may(supervisor, run_as, "exec", str(program), "--version"):
        return program
    supervisor.scratch.chmod(0o711)
    for tree in trees:
        copy = supervisor.scratch / tree.name
        if tree.is_dir():
            shutil.copytree(tree, copy, ignore=_LEFT_OUT, symlinks=True)
        elif tree.exists():
            shutil.copy(tree, copy)
        for path in (copy, *copy.rglob("*")):
            os.chown(path, run_as.uid, run_as.gid, follow_symlinks=False)
    return supervisor.scratch / program.relative_to(trees[0].parent)


def _harmless_user() -> pwd.struct_passwd:
    """Return nobody, or in its absence the last user who is not root."""
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    users.sort(key=lambda user: user.pw_name == "nobody")
    if not users:
        raise EmbeddedServerError(
            "Postgres needs a user other than root, and /etc/passwd names none: add a "
            "line for nobody, or set DATABASE_URL to a server of your own"
        )
    return users[-1]


def _may(supervisor: Supervisor, run_as: RunAs, *words: str) -> bool:
    """Tell whether a shell of that user can do it: honest about ACLs and mounts."""
    try:
        code = supervisor.run(
            Command(
                name="identity",
                argv=["/bin/sh", "-c", '"$@"', "sh", *words],
                bare_env=True,
                cwd=Path("/"),
                run_as=run_as,
            )
        )
    except EmbeddedServerError:
        return False
    return code == 0
