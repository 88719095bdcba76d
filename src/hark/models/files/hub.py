"""Fetches what the table of hub_table.py lists: from a folder, from Hugging Face's own cache, or from the hub.

Rule: a file appears in the models folder whole and right, or not at all. Right is what its pin says; where it has none,
what the hub said when it was first pulled. That is written down in the manifest, .hark.json beside the files, and held
to from then on. What a pull that was ended had got of a file stays in a hidden file, and the next one goes on with it.
One pull at a time works on a folder; another waits for it. Refuses: a pointer that stands for a large file in a clone.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
from msgspec import Struct, field, structs

from hark.errors import OperatorError
from hark.models.files.fetching import CACHED, Progress, Pulled, SourceError, cannot_write, sha256_of
from hark.models.files.hub_http import AbsentError, Hub, UnreachableError, git_sha1
from hark.models.files.hub_table import HubFiles
from hark.models.files.table import Member

MANIFEST: Final = ".hark.json"
LOCK: Final = ".hark.lock"
POINTER: Final = b"version https://git-lfs.github.com/spec/v1"


class Kept(Struct, frozen=True):
    """A file that was pulled. Whole and untouched if its size and its time are these; else its checksum decides."""

    size: int
    sha256: str
    mtime_ns: int


class Manifest(Struct):
    """What lies in a model's folder. `absent`: optional files that the repository does not have; `unasked`: those that
    were not where the others came from, while the hub was not asked."""

    repo: str
    revision: str
    commit: str | None = None
    files: dict[str, Kept] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)


class _Found(Struct, frozen=True):
    """A file to take. `sha256`, `sha1`: what it has to have, if that is known."""

    path: Path
    origin: str
    sha256: str | None = None
    sha1: str | None = None


def complete(entry: HubFiles, folder: Path, *, closely: bool = True) -> bool:
    """Whether all its files are in the models folder. Hashes those alone that something has written to since they were
    pulled, and none of them unless `closely`."""
    manifest = _manifest(entry, folder / entry.name)
    return all(
        name in (*manifest.absent, *manifest.unasked)
        or _untouched(manifest.files.get(name), folder / entry.name / name, closely)
        for name in (*entry.files, *entry.optional)
    )


def bytes_there(entry: HubFiles, folder: Path) -> int:
    """The size of what was pulled, in bytes; before that, about what it will be."""
    return sum(kept.size for kept in _manifest(entry, folder / entry.name).files.values()) or entry.size


def pull_hub(entry: HubFiles, folder: Path, source: Path | None, progress: Progress) -> list[Pulled]:
    """Put its files into `folder`/its name. Raises SourceError or OperatorError; what came before that stays."""
    return _Pull(entry, folder, source, progress).run()


def mend(entry: HubFiles) -> str:
    """What to do where the hub does not help, for people."""
    return (
        f"Without a network: put a copy of {entry.name} out of the models folder of a machine where "
        f"`hark pull {entry.name}` worked, or a clone of {entry.repo}, into a folder DIR and run "
        f"`hark pull {entry.name} --from DIR`."
    )


class _NotHereError(AbsentError):
    """An optional file is not where the others came from, and the hub was not asked: a later pull asks again."""


class _Pull:
    """One pull of one entry."""

    def __init__(self, entry: HubFiles, folder: Path, source: Path | None, progress: Progress) -> None:
        self.entry = entry
        self.place = folder / entry.name
        self.source = source
        self.progress = progress
        self.hub = Hub.of_environment()
        self.elsewhere = True  # whether all came from where a missing optional file is no reason to give up

    def run(self) -> list[Pulled]:
        pulled = []
        with _alone(self.place, lambda: self.progress(f"{self.entry.name} (another pull is at it)", None, 0)):
            self.manifest = _manifest(self.entry, self.place)
            if not complete(self.entry, self.place.parent, closely=False):
                self.manifest.absent.clear()  # the repository may have got them
            self.manifest.unasked.clear()
            wanted = (*self.entry.files, *self.entry.optional)
            for name in (name for name in wanted if name not in self.manifest.absent):
                try:
                    pulled.append(self._pull(name))
                except AbsentError as error:
                    if name not in self.entry.optional:
                        tried = f"{self.hub.label}: {error}"
                        raise SourceError(f"Cannot get {self.entry.name}/{name}. Tried: {tried}") from None
                    unasked = isinstance(error, _NotHereError)
                    (self.manifest.unasked if unasked else self.manifest.absent).append(name)
                    self._write_down()
        return pulled

    def _pull(self, name: str) -> Pulled:
        path, known = self.place / name, self.manifest.files.get(name)
        damaged = path.is_file() and known is not None and not _intact(known, path)
        if known is not None and path.is_file() and not damaged:
            self._note(name, path, known.sha256)
            return self._pulled(name, known, CACHED)
        wanted = self.entry.pins.get(name) or (known.sha256 if known else None)
        tried: list[str] = []
        for found in self._found(name):
            try:
                return self._pulled(name, self._take(found, name, wanted), found.origin, damaged=damaged)
            except SourceError as error:
                tried.append(f"{found.origin}: {error}")
        if self.source is not None:
            if name in self.entry.optional and not tried:
                raise _NotHereError
            tried = tried or [f"folder {self.source}: holds no {self.entry.name}/{name}, and no {name}"]
        else:
            try:
                return self._pulled(name, self._download(name, wanted), self.hub.label, damaged=damaged)
            except UnreachableError as error:
                if name in self.entry.optional and self.elsewhere:
                    raise _NotHereError from error  # whoever filled the cache left it out
                tried.append(f"{self.hub.label}: {error}")
            except AbsentError:
                raise
            except SourceError as error:
                tried.append(f"{self.hub.label}: {error}")
        raise SourceError(f"Cannot get {self.entry.name}/{name}. Tried: {'; '.join(tried)}")

    def _found(self, name: str) -> Iterator[_Found]:
        if self.source is not None:
            origin = f"folder {self.source}"
            copied = self.source / self.entry.name
            known = _manifest(self.entry, copied).files.get(name)
            if (copied / name).is_file():
                yield _Found(copied / name, origin, known.sha256 if known else None)
            clones = (self.source / PurePosixPath(self.entry.repo).name, self.source)
            yield from (_Found(clone / name, origin) for clone in clones if (clone / name).is_file())
        elif (cached := hugging_face_cache(self.entry, name)) is not None:
            commit, path = cached
            if self.manifest.commit not in (None, commit):
                return  # it would not fit the files that are there
            self.manifest.commit = commit
            blob = path.resolve().name
            yield _Found(
                path,
                "Hugging Face cache",
                blob if re.fullmatch(r"[0-9a-f]{64}", blob) else None,
                blob if re.fullmatch(r"[0-9a-f]{40}", blob) else None,
            )

    def _take(self, found: _Found, name: str, wanted: str | None) -> Kept:
        """Copy a file that lies on this machine, or link to it where it will not be changed."""
        path = self.place / name
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.copy")
        try:
            with found.path.open("rb") as file:
                if file.read(len(POINTER)) == POINTER:
                    raise SourceError(f"{found.path} only stands for the file; run `git lfs pull` in the clone")
            what, size = f"{self.entry.name}/{name}", found.path.stat().st_size
        except OSError as error:
            raise SourceError(f"{found.path} cannot be read ({error.strerror})") from error
        try:
            self.progress(what, None, size)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                if self.source is not None:
                    raise OSError
                os.link(found.path.resolve(), part)
            except OSError:
                shutil.copyfile(found.path, part)
            digest = sha256_of(part)
            if digest != (wanted or found.sha256 or digest) or (found.sha1 and git_sha1(part) != found.sha1):
                expected = wanted or found.sha256 or f"Git's SHA-1 {found.sha1}"
                raise SourceError(f"{found.path} has SHA-256 {digest}, expected {expected}")
            self.progress(what, size, size)
            return self._settle(name, part, digest)
        except OSError as error:
            raise cannot_write(path, self.entry.size, error) from error
        finally:
            with suppress(OSError):
                part.unlink()

    def _download(self, name: str, wanted: str | None) -> Kept:
        path, what = self.place / name, f"{self.entry.name}/{name}"
        remote = self.hub.describe(self.entry.repo, self.manifest.commit or self.entry.revision, name)
        self.elsewhere = False
        self.manifest.commit = self.manifest.commit or remote.commit
        if wanted and remote.sha256 and wanted != remote.sha256:
            raise SourceError(f"it has {name} with SHA-256 {remote.sha256}, expected {wanted}")
        if remote.sha256 and _intact(Kept(remote.size or 0, remote.sha256, 0), path):  # somebody has put it there
            return self._note(name, path, remote.sha256)
        part = path.with_name(f".{path.name}.{remote.key}.part")
        self._make_room(part, remote.size or 0)
        digest = self.hub.fetch(remote, part, lambda done: self.progress(what, done, remote.size or 0))
        if wanted and digest != wanted:
            part.unlink()
            raise SourceError(f"{name} has SHA-256 {digest}, expected {wanted}")
        return self._settle(name, part, digest)

    def _make_room(self, part: Path, size: int) -> None:
        """Raises OperatorError where the file cannot fit, before an hour is spent on it."""
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            there = part.stat().st_size if part.exists() else 0
            free = shutil.disk_usage(part.parent).free
        except OSError as error:
            raise cannot_write(part, size, error) from error
        if free < size - there:
            raise OperatorError(
                f"No room for {self.entry.name} in {self.place}: {size - there:,} bytes are wanted, and {free:,} are "
                "free. Make room, or name another folder with HARK_MODELS_DIR."
            )

    def _settle(self, name: str, part: Path, digest: str) -> Kept:
        path = self.place / name
        try:
            part.replace(path)
        except OSError as error:
            raise cannot_write(path, self.entry.size, error) from error
        for kind in ("part", "copy"):  # of other versions, and of pulls that were killed
            for stale in path.parent.glob(f".{path.name}.*.{kind}"):
                stale.unlink(missing_ok=True)
        return self._note(name, path, digest)

    def _note(self, name: str, path: Path, digest: str) -> Kept:
        there = path.stat()
        kept = Kept(there.st_size, digest, there.st_mtime_ns)
        if self.manifest.files.get(name) != kept:
            self.manifest.files[name] = kept
            self._write_down()
        return kept

    def _write_down(self) -> None:
        target = self.place / MANIFEST
        draft = target.with_name(f"{MANIFEST}.{secrets.token_hex(4)}")
        try:
            draft.write_bytes(msgspec.json.format(msgspec.json.encode(self.manifest), indent=2))
            draft.replace(target)
        except OSError as error:
            raise cannot_write(target, 4096, error) from error

    def _pulled(self, name: str, kept: Kept, origin: str, *, damaged: bool = False) -> Pulled:
        member = Member(f"{self.entry.name}/{name}", name, kept.size, kept.sha256)
        return Pulled(self.entry, member, self.place / name, origin, damaged)


def hugging_face_cache(entry: HubFiles, name: str) -> tuple[str, Path] | None:
    """The commit and the place of this file in the cache that Hugging Face's own tools fill, if it is there."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    repo = cache / f"models--{entry.repo.replace('/', '--')}"
    try:
        commit = (repo / "refs" / entry.revision).read_text("utf-8").strip()
    except (OSError, ValueError):
        commit = entry.revision
    path = repo / "snapshots" / commit / name
    try:
        return (commit, path) if path.is_file() else None
    except OSError:  # it is somebody else's
        return None


def _manifest(entry: HubFiles, place: Path) -> Manifest:
    """What was written down about this entry, if that is about this repository and revision."""
    try:
        manifest = msgspec.json.decode((place / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError):
        return Manifest(entry.repo, entry.revision)
    if (manifest.repo, manifest.revision) != (entry.repo, entry.revision):
        return Manifest(entry.repo, entry.revision)
    pinned = {name: kept for name, kept in manifest.files.items() if entry.pins.get(name, kept.sha256) == kept.sha256}
    return structs.replace(manifest, files=pinned)


def _untouched(kept: Kept | None, path: Path, closely: bool) -> bool:
    try:
        there = path.stat()
        if kept is None or there.st_size != kept.size:
            return False
        return there.st_mtime_ns == kept.mtime_ns or not closely or sha256_of(path) == kept.sha256
    except OSError:
        return False


def _intact(kept: Kept, path: Path) -> bool:
    try:
        return path.stat().st_size == kept.size and sha256_of(path) == kept.sha256
    except OSError:
        return False


@contextmanager
def _alone(place: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the folder's lock, where the system has any."""
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415

    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = (place / LOCK).open("ab")
    except OSError as error:
        raise cannot_write(place / LOCK, 0, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            waiting()
            with suppress(OSError):  # a network drive may know no locks
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
