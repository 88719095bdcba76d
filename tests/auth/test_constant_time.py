"""Nothing that somebody could guess piece by piece is compared by `==`: how long that takes tells how much was right.

The code itself is read, for no clock on a shared machine shows a byte's worth of time. A comparison that names
something secret goes by hmac.compare_digest, or stands here with why it need not.
"""

import ast
import inspect
import re
from pathlib import Path

import pytest

import hark
from hark.auth import keys, secrets

ROOT = Path(hark.__file__).parent
READ = sorted([*(ROOT / "auth").glob("*.py"), ROOT / "edge" / "guard.py", ROOT / "edge" / "client_secrets.py"])
SECRET = re.compile("key|secret|mac$|token|candidate|hash|digest|sign|credential|password|parent", re.IGNORECASE)
ALLOWED = {
    "who.key_id == OWN_KEY": "ids are no secrets, and this one is in the source",
    "self.key_id not in ('', OWN_KEY)": "the same",
    "self.key_id == owner.key_id": "ids out of the store, of callers that were let in",
    "self.secret in ('', owner.secret)": "hashes of secrets that have proved themselves",
}


def comparisons(source):
    """Every == and `in` that names something secret."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare) and any(
            isinstance(how, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for how in node.ops
        ):
            named = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
            named += [each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)]
            if any(map(SECRET.search, named)):
                yield ast.unparse(node)


def test_every_comparison_of_a_secret_takes_the_same_time():
    found = {one for path in READ for one in comparisons(path.read_text("utf-8"))}
    assert found == ALLOWED.keys()


@pytest.mark.parametrize("line", ["key == given", "self._key != x", "given in (a.signing_key,)", "mac(body) == mac"])
def test_that_would_be_found(line):
    assert list(comparisons(line)) == [line]


@pytest.mark.parametrize("function", [secrets.verify, keys.Keys._is_own, keys.Keys._parent])
def test_where_secrets_are_compared_it_is_by_digest(function):
    assert "hmac.compare_digest(" in inspect.getsource(function)


def test_a_stored_key_is_looked_up_by_its_hash_alone():
    """An index tells by its time how much of a hash was right, and no hash can be aimed at."""
    assert 'WHERE hash = ?", _hash(key)' in inspect.getsource(hark.auth.store.Store.by_key)
