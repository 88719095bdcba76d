"""Sessions at once over several gateways: a key's, the server's, and those of a gateway that is gone."""

from hark.auth.limits import Register


def test_a_key_s_sessions_are_counted_over_all_gateways():
    register = Register()
    assert [register.enter(gateway, "app", "", 2) for gateway in (0, 1, 1)] == ["", "", "key"]
    assert register.enter(1, "other", "", 2) == ""
    register.leave(0, "app", "")
    assert [register.enter(1, "app", "", 2) for _ in range(2)] == ["", "key"]


def test_those_of_a_gateway_that_is_gone_do_not_count():
    register = Register()
    for gateway in (0, 0, 1):
        register.enter(gateway, "app", "", None)
    register.forget(0)
    register.forget(0)
    assert [register.enter(0, "app", "", 3) for _ in range(3)] == ["", "", "key"]


def test_the_server_s_number_is_of_all_keys_and_counts_after_the_key_s():
    register = Register(2)
    asked = [("a", 1), ("", None), ("a", 1), ("b", 5), ("", None)]
    assert [register.enter(0, key, "", most) for key, most in asked] == ["", "", "key", "server", "server"]
    register.leave(0, "", "")
    assert register.enter(1, "b", "", 5) == ""


def test_who_is_refused_does_not_count():
    register = Register(1)
    register.enter(0, "a", "", 1)
    for _ in range(3):
        assert register.enter(0, "a", "", 1) == "key"
    register.leave(0, "a", "")
    assert register.enter(0, "a", "", 1) == ""


def test_an_address_is_counted_over_all_gateways_and_keys():
    register = Register(most_per_address=2)
    told = [register.enter(gateway, key, "192.0.2.1", None) for gateway, key in ((0, "a"), (1, "b"), (1, "c"))]
    assert told == ["", "", "address"]
    assert register.enter(1, "c", "192.0.2.2", None) == ""
    register.leave(0, "a", "192.0.2.1")
    assert [register.enter(0, "c", "192.0.2.1", None) for _ in range(2)] == ["", "address"]
    register.forget(1)
    assert register.enter(0, "c", "192.0.2.1", None) == ""


def test_addresses_that_are_not_known_count_for_nobody():
    register = Register(most_per_address=1)
    assert [register.enter(0, "a", "", None) for _ in range(3)] == ["", "", ""]


def test_nothing_is_kept_of_addresses_that_have_left():
    register = Register(most_per_address=1)
    for number in range(100):
        register.enter(0, "a", f"192.0.2.{number}", None)
        register.leave(0, "a", f"192.0.2.{number}")
    assert (register._open[0].keys, register._open[0].addresses) == ({}, {})
