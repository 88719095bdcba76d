"""Sessions at once over several gateways: a key's, the server's, and those of a gateway that is gone."""

from hark.auth.limits import Register


def test_a_key_s_sessions_are_counted_over_all_gateways():
    register = Register()
    assert [register.enter(gateway, "app", 2) for gateway in (0, 1, 1)] == ["", "", "key"]
    assert register.enter(1, "other", 2) == ""
    register.leave(0, "app")
    assert [register.enter(1, "app", 2) for _ in range(2)] == ["", "key"]


def test_those_of_a_gateway_that_is_gone_do_not_count():
    register = Register()
    for gateway in (0, 0, 1):
        register.enter(gateway, "app", None)
    register.forget(0)
    register.forget(0)
    assert [register.enter(0, "app", 3) for _ in range(3)] == ["", "", "key"]


def test_the_server_s_number_is_of_all_keys_and_counts_after_the_key_s():
    register = Register(2)
    assert [register.enter(0, key, most) for key, most in [("a", 1), ("", None), ("a", 1), ("b", 5), ("", None)]] == [
        "",
        "",
        "key",
        "server",
        "server",
    ]
    register.leave(0, "")
    assert register.enter(1, "b", 5) == ""


def test_who_is_refused_does_not_count():
    register = Register(1)
    register.enter(0, "a", 1)
    for _ in range(3):
        assert register.enter(0, "a", 1) == "key"
    register.leave(0, "a")
    assert register.enter(0, "a", 1) == ""
