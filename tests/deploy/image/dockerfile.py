"""deploy/Dockerfile without Docker: its instructions carried out, one after the other, in folders that are root file
systems, and its last stage run as the first process of a PID namespace, on a read-only tree, as its user.

Rule: what an instruction says is done literally, in a chroot with nothing but what the base has and what was copied.
Refuses instructions that it does not know. Needs root, unshare and chroot.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

from documents import ROOT
from gateways import until

FILE = ROOT / "deploy" / "Dockerfile"
PLAIN_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def instructions(text):
    """Pairs: the word, and the rest with its continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, _, rest = line.partition(" ")
        yield word, rest.strip()


def sent():
    """The patterns of what a build may copy; all else is ignored."""
    lines = (FILE.parent / "Dockerfile.dockerignore").read_text().split()
    assert lines[0] == "*"
    return [line[1:] for line in lines if line.startswith("!")]


class Stage:
    """A root file system with the settings that go with it."""

    def __init__(self, root, made_from):
        self.root = root
        self.environment = dict(made_from.environment) if made_from else {"PATH": PLAIN_PATH}
        self.arguments = {}
        self.folder = made_from.folder if made_from else "/"
        self.user, self.entrypoint, self.command, self.health = "0:0", [], [], []

    def inside(self, path):
        return self.root / str(Path(self.folder, path)).lstrip("/")

    def expanded(self, text):
        known = self.environment | self.arguments
        return re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found[1], ""), text)

    def run(self, script):
        """In a shell, with /proc, /dev and whatever pip is told of its index."""
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        environment = pip | self.arguments | self.environment
        told = [f"{name}={value}" for name, value in environment.items()]
        mounts = f"mount -t proc proc {self.root}/proc && mount --rbind /dev {self.root}/dev"
        command = f"cd {shlex.quote(self.folder)} && {script}"
        chroot = ["chroot", str(self.root), "env", "-i", *told, "sh", "-ec", command]
        subprocess.run(["unshare", "--mount", "sh", "-ec", f"{mounts} && exec {shlex.join(chroot)}"], check=True)


def build(work, base, **arguments):
    """The last stage. `base`: a folder with the root file system that the first ARG names."""
    stages, stage, before = {}, None, {}
    for word, rest in instructions(FILE.read_text()):
        match word:
            case "ARG" if stage is None:
                before |= dict([rest.split("=", 1)])
            case "ARG":
                name, _, default = rest.partition("=")
                stage.arguments[name] = arguments.get(name, default.strip('"'))
            case "FROM":
                origin, _, name = rest.partition(" AS ")
                assert origin == "${BASE}" or origin in stages, origin
                made_from = stages.get(origin)
                root = work / (name or "final")
                subprocess.run(["cp", "-a", made_from.root if made_from else base, root], check=True)
                stage = stages[name] = Stage(root, made_from)
                _lend(root)
            case "WORKDIR":
                stage.folder = rest
                stage.inside("").mkdir(parents=True, exist_ok=True)
            case "COPY":
                _copy(stage, stages, rest)
            case "RUN":
                stage.run(rest)
            case "ENV":
                stage.environment |= dict(pair.split("=", 1) for pair in shlex.split(stage.expanded(rest)))
            case "USER":
                stage.user = rest
            case "ENTRYPOINT":
                stage.entrypoint = json.loads(rest)
            case "CMD":
                stage.command = json.loads(rest)
            case "HEALTHCHECK":
                stage.health = json.loads(rest.partition("CMD ")[2])
            case "VOLUME" | "EXPOSE" | "STOPSIGNAL":
                pass
            case _:
                raise AssertionError(f"no such instruction is known here: {word}")
    return stage


def _lend(root):
    """What Docker gives each container, and where this machine's pip finds its index."""
    for path in ("/etc/resolv.conf", "/etc/hosts"):
        shutil.copy(path, root / path[1:])
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    lines = [line.partition(".") for line in told.stdout.splitlines() if line.startswith("global.")]
    content = "".join(f"{rest.split('=', 1)[0]} = {shlex.split(rest.split('=', 1)[1])[0]}\n" for _, _, rest in lines)
    (root / "etc" / "pip.conf").write_text(f"[global]\n{content}")
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")  # those that this machine trusts, for its index
    if authorities.exists():
        shutil.copy(authorities, root / "etc" / "ssl" / "certs")


def _copy(stage, stages, rest):
    words = stage.expanded(rest).split()
    origin = stages[words.pop(0).removeprefix("--from=")].root if words[0].startswith("--from=") else None
    *sources, target = words
    for source in sources:
        if origin is None:
            assert any(fnmatch(source, pattern) for pattern in sent()), f"{source} is not sent to the build"
        there = origin / source.lstrip("/") if origin else ROOT / source
        into = stage.inside(target)
        if target.endswith("/"):
            into /= there.name
        if target.endswith(".") or target == "./":
            into = stage.inside("") / there.name
        into.parent.mkdir(parents=True, exist_ok=True)
        if there.is_dir():
            shutil.copytree(
                there, into, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(there, into)


class Container:
    """The stage's command as process 1, the tree read-only, with folders of this machine mounted into it."""

    def __init__(self, stage, *arguments, mounts=(), environment=()):
        self._stage = stage
        self._variables = stage.environment | dict(environment)
        mounting = [f"mount --bind {stage.root} {stage.root}", f"mount -t tmpfs -o mode=1777 tmp {stage.root}/tmp"]
        mounting += [f"mount --bind {there} {stage.root}{inside}" for there, inside in mounts]
        mounting += [f"mount -o remount,bind,ro {stage.root}", f"mount -t proc proc {stage.root}/proc"]
        mounting += [f"mount --bind /dev {stage.root}/dev"]
        program = [*stage.entrypoint, *(arguments or stage.command)]
        script = " && ".join([*mounting, f"exec {shlex.join(self._inside(program))}"])
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def _inside(self, program):
        told = [f"{name}={value}" for name, value in self._variables.items()]
        # No privilege is kept and none can be had again, as with cap_drop and no-new-privileges.
        unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]
        user = f"--userspec={self._stage.user}"
        return ["chroot", user, "--groups=", str(self._stage.root), *unprivileged, "env", "-i", *told, *program]

    @property
    def pid(self):
        """Of its process 1, as it is known outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        (child,) = until(lambda: children.read_text().split())
        return int(child)

    def healthy(self):
        """Whether the check of its health says so, run inside."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid"]
        command = [*enter, *self._inside(self._stage.health)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def shell(self, script):
        """Its user's shell, inside; the output."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--pid"]
        command = [*enter, *self._inside(["sh", "-c", script])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def kill(self):
        """If it is still there: whoever has changed his user outlives the one who started him."""
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.process.communicate(timeout=10)

    def stop(self, number):
        """Send a signal to process 1; the exit code and what it still said."""
        os.kill(self.pid, number)
        said, _ = self.process.communicate(timeout=60)
        return self.process.returncode, said
