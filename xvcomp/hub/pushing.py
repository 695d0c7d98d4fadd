"""A folder to a dataset repository on the Hub, in steps that can be repeated.

What the repository has already is not sent again, whichever run sent it: files are compared
by content, and large ones that were sent but not committed are known to the Hub. So an
interrupted push is resumed by starting it again. At the end the repository is listed and
compared with the folder.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HubError, PlanError
from ..results import OnProgress, Progress
from .patience import DEFAULT_ATTEMPTS, patiently, status_of

__all__ = ["Pushed", "check_repo_id", "local_files", "push"]

_IGNORED = {".git", ".cache", ".huggingface", ".DS_Store", "__pycache__"}
_LAST = ("SHA256SUMS", "README.md")
_BATCH_FILES = 50
_BATCH_NBYTES = 2_000_000_000
_REPO = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What a push did, or would do.

    Parameters
    ----------
    repo_id, url : str
    revision : str
    uploaded, unchanged : tuple of str
        Paths in the repository.
    nbytes : int
        Of what was uploaded.
    commits : int
    dry_run : bool
    """

    repo_id: str
    url: str
    revision: str
    uploaded: tuple[str, ...]
    unchanged: tuple[str, ...]
    nbytes: int
    commits: int
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Remote:
    """What the Hub says of a file: a sha256 of large ones, git's sha1 of others."""

    nbytes: int
    sha256: str | None
    blob_id: str


def push(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
    attempts: int = DEFAULT_ATTEMPTS,
    on_progress: OnProgress | None = None,
) -> Pushed:
    """Upload a folder to a dataset repository; what is there already stays.

    Parameters
    ----------
    folder : path
    repo_id : str
        ``ORG/NAME``; created where it does not exist. Files in it that the folder does not
        have are left alone.
    private : bool or None
        Of a repository that is created.
    revision : str or None
        Branch, created where it does not exist; ``None`` is ``main``.
    token : str or None
        ``None`` is ``HF_TOKEN``, or who is logged in.
    dry_run : bool
        Only say what would be uploaded.
    attempts : int
        How often each step is tried while the Hub answers with 429 or 5xx, or not at all.

    Raises
    ------
    PlanError
        If there is nothing to upload, or huggingface_hub is not installed.
    HubError
        If the Hub refuses or stops answering; what was committed stays, and the next
        start goes on there.
    """
    files = local_files(Path(folder))
    hub = _Hub.connect(repo_id, revision, token, attempts)
    if not dry_run:
        hub.create(private)
    todo = _changed(files, hub.files(may_be_missing=dry_run))
    unchanged = tuple(name for name in files if name not in todo)
    nbytes = sum(files[name].stat().st_size for name in todo)
    commits = 0
    if not dry_run:
        sent = 0
        for batch in _batches(todo, files):
            if on_progress is not None:
                detail = f"{batch[0]} and {len(batch) - 1} more" if batch[1:] else batch[0]
                on_progress(
                    Progress(stage="upload", done=sent, total=nbytes, unit="bytes", detail=detail)
                )
            hub.commit({name: files[name] for name in batch})
            sent += sum(files[name].stat().st_size for name in batch)
            commits += 1
        _verify(files, hub, todo)
    return Pushed(
        repo_id=repo_id,
        url=hub.url,
        revision=hub.revision,
        uploaded=tuple(todo),
        unchanged=unchanged,
        nbytes=nbytes,
        commits=commits,
        dry_run=dry_run,
    )


def check_repo_id(repo_id: str) -> None:
    """Refuse what is no name of a repository.

    Raises
    ------
    PlanError
        If it is not ``ORG/NAME``.
    """
    if not _REPO.fullmatch(repo_id):
        raise PlanError(f"{repo_id!r} is no repository; it is called ORG/NAME")


def local_files(folder: Path) -> dict[str, Path]:
    """List what is to be uploaded, by its path in the repository.

    Raises
    ------
    PlanError
        If there is nothing, or a file is still being written.
    """
    if not folder.is_dir():
        raise PlanError(f"{folder} is not a folder; push takes a folder, see `xvcomp dataset`")
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not path.is_file() or _IGNORED & set(parts):
            continue
        if any(p.startswith(".") and p.endswith((".tmp", ".part")) for p in parts):
            raise PlanError(f"{path} is unfinished work: wait for what writes it, or remove it")
        found["/".join(parts)] = path
    if not found:
        raise PlanError(f"{folder} holds no files: there is nothing to upload")
    return found


def _changed(files: Mapping[str, Path], remote: Mapping[str, _Remote]) -> list[str]:
    """Return the files that differ; what describes the others comes last."""
    todo = [name for name, path in files.items() if not _same(path, remote.get(name))]
    return sorted(todo, key=lambda name: (_LAST.index(name) + 1 if name in _LAST else 0, name))


def _same(path: Path, there: _Remote | None) -> bool:
    if there is None or there.nbytes != path.stat().st_size:
        return False
    if there.sha256 is not None:
        return _digest(path, hashlib.sha256()) == there.sha256
    header = f"blob {there.nbytes}\0".encode()
    return _digest(path, hashlib.sha1(header, usedforsecurity=False)) == there.blob_id


def _digest(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: digest).hexdigest()


def _batches(names: Iterable[str], files: Mapping[str, Path]) -> Iterator[list[str]]:
    """Cut the work into commits, so that an interruption costs one at most.

    What describes the dataset is a commit of its own: it must not be there before the rest.
    """
    batch: list[str] = []
    nbytes = 0
    for name in names:
        size = files[name].stat().st_size
        first_of_last = name in _LAST and batch and batch[-1] not in _LAST
        if batch and (len(batch) >= _BATCH_FILES or nbytes + size > _BATCH_NBYTES or first_of_last):
            yield batch
            batch, nbytes = [], 0
        batch.append(name)
        nbytes += size
    if batch:
        yield batch


def _verify(files: Mapping[str, Path], hub: "_Hub", sent: Sequence[str]) -> None:
    """Compare what was sent with what is there now; the rest was compared before."""
    there = hub.files()
    wrong = [name for name in sent if not _same(files[name], there.get(name))]
    if wrong:
        raise HubError(f"{hub.repo_id} does not hold {wrong[0]} as it was sent: start again")


@dataclass(frozen=True, slots=True)
class _Hub:
    """One repository, through huggingface_hub; every call is patient."""

    api: Any
    repo_id: str
    revision: str
    attempts: int

    @classmethod
    def connect(
        cls, repo_id: str, revision: str | None, token: str | None, attempts: int
    ) -> "_Hub":
        check_repo_id(repo_id)
        try:
            import huggingface_hub
            from huggingface_hub import utils
        except ImportError as error:
            raise PlanError("push needs huggingface_hub: pip install 'xvcomp[hub]'") from error
        quiet: Any = utils
        quiet.disable_progress_bars()
        return cls(huggingface_hub.HfApi(token=token), repo_id, revision or "main", attempts)

    @property
    def url(self) -> str:
        return f"{self.api.endpoint}/datasets/{self.repo_id}"

    def create(self, private: bool | None) -> None:
        """Make the repository and the branch, where there are none."""
        self._patiently(
            f"create {self.repo_id}",
            lambda: self.api.create_repo(
                self.repo_id, repo_type="dataset", private=private, exist_ok=True
            ),
        )
        if self.revision != "main":
            self._patiently(
                f"create the branch {self.revision} of {self.repo_id}",
                lambda: self.api.create_branch(
                    self.repo_id, branch=self.revision, repo_type="dataset", exist_ok=True
                ),
            )

    def files(self, *, may_be_missing: bool = False) -> dict[str, _Remote]:
        """List the repository's files."""
        found: dict[str, _Remote] = self._patiently(
            f"list {self.repo_id}", lambda: self._list(may_be_missing)
        )
        return found

    def _list(self, may_be_missing: bool) -> dict[str, _Remote]:
        try:
            entries = list(
                self.api.list_repo_tree(
                    self.repo_id, repo_type="dataset", revision=self.revision, recursive=True
                )
            )
        except Exception as error:
            if may_be_missing and status_of(error) in (401, 404):
                return {}
            raise
        return {
            each.path: _Remote(each.size, each.lfs.sha256 if each.lfs else None, each.blob_id)
            for each in entries
            if hasattr(each, "size")
        }

    def commit(self, files: Mapping[str, Path]) -> None:
        """Upload files and commit them.

        Where a commit's answer was lost, the next attempt finds the files there and does
        nothing.
        """
        from huggingface_hub import CommitOperationAdd

        def attempt() -> None:
            # Operations remember what became of them, and cannot be used twice.
            operations = [
                CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(path))
                for name, path in files.items()
            ]
            self.api.create_commit(
                self.repo_id,
                operations,
                commit_message=_message(list(files)),
                repo_type="dataset",
                revision=self.revision,
            )

        self._patiently(f"upload {len(files)} files to {self.repo_id}", attempt)

    def _patiently(self, what: str, do: Any) -> Any:
        return patiently(do, what, attempts=self.attempts)


def _message(names: Sequence[str]) -> str:
    return f"Add {names[0]}" + (f" and {len(names) - 1} more files" if names[1:] else "")
