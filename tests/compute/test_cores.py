"""The cores of this process, in control groups that the test makes up."""

import pytest

from hark.compute.cores import usable_cores

ALLOWED = usable_cores()


@pytest.mark.parametrize(
    ("line", "files", "cores"),
    [
        ("0::/", {}, ALLOWED),
        ("0::/", {"cpu.max": "max 100000"}, ALLOWED),
        ("0::/", {"cpu.max": "100000 100000"}, 1),
        ("0::/", {"cpu.max": "50000 100000"}, 1),  # half a core is one thread
        ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 1),  # the group above counts too
        ("0::/../elsewhere", {"cpu.max": "100000 100000"}, 1),  # a container sees its own group as the root
        ("0::/", {"cpu.max": "nonsense"}, ALLOWED),
        ("3:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, 1),
        ("3:cpu,cpuacct:/a", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, ALLOWED),
        ("4:memory:/a", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, ALLOWED),
    ],
)
def test_a_quota_counts(tmp_path, line, files, cores):
    groups = tmp_path / "cgroup"
    groups.write_text(f"{line}\n")
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert usable_cores(tmp_path / "fs", groups) == cores


def test_a_machine_without_groups_has_what_it_is_allowed(tmp_path):
    assert usable_cores(tmp_path / "none", tmp_path / "nothing") == ALLOWED >= 1
