"""What `--compute` may say."""

import pytest

from hark.compute.cluster.address import Ingress, ingress
from hark.errors import OperatorError


@pytest.mark.parametrize(
    ("compute", "found"),
    [
        ("local", None),
        (" Local ", None),
        ("ray://head", Ingress(("head:9000",))),
        ("ray://head:9443", Ingress(("head:9443",))),
        ("RAY://10.0.0.7:9000/", Ingress(("10.0.0.7:9000",))),
        ("ray://one, two:9001", Ingress(("one:9000", "two:9001"))),
        ("rays://workers.example", Ingress(("workers.example:9000",), tls=True)),
        ("ray://[fd00::7]", Ingress(("[fd00::7]:9000",))),
        ("ray://[fd00::7]:9443", Ingress(("[fd00::7]:9443",))),
    ],
)
def test_what_is_understood(compute, found):
    assert ingress(compute) == found


@pytest.mark.parametrize(
    "compute",
    ["", "ray", "ray://", "ray://,", "ray://one,,two", "http://head:9000", "ray://head:0", "ray://head:x", "ray://:9000",
     "ray://head:65536", "ray://fd00::7", "ray://user@head", "ray://head/path", "ray://head:9000?x=1",
     "ray://two words"],
)  # fmt: skip
def test_what_is_not_is_told_with_what_would_be(compute):
    with pytest.raises(OperatorError, match=r"expected local, or ray://HOST:PORT") as refused:
        ingress(compute)
    assert f"--compute {compute}:" in refused.value.message
