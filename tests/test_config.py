"""Options: which value counts, what is refused before the server starts, what is never shown."""

import pytest
from pydantic import ValidationError

from hark.cli.main import app
from hark.config import Settings
from hark.errors import OperatorError
from hark.models.base import LoadOptions
from hark.models.catalog import under_options

KEY = "sk-one-two-three"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    for name in Settings.model_fields:
        monkeypatch.delenv(f"HARK_{name.upper()}", raising=False)
    for name in ("TRANSCRIPTION_MODEL", "OPENAI_REALTIME_SESSION_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


# ---- which value counts


def test_the_flag_over_the_environment_over_the_file_over_the_default(monkeypatch, tmp_path):
    assert Settings().port == 8_000
    (tmp_path / ".env").write_text("HARK_PORT=1\nHARK_HOST=::1\nOTHER=x\n")
    assert (Settings().port, Settings().host) == (1, "::1")
    monkeypatch.setenv("HARK_PORT", "2")
    assert (Settings().port, Settings().host) == (2, "::1")
    assert Settings(port=3).port == 3


@pytest.mark.parametrize(("line", "expected"), [("--port 3", (3, "::1")), ("--host 127.0.0.1", (2, "127.0.0.1"))])
def test_a_flag_leaves_the_other_variables_in_force(monkeypatch, line, expected):
    monkeypatch.setenv("HARK_PORT", "2")
    monkeypatch.setenv("HARK_HOST", "::1")
    _, bound, _ = app.parse_args(f"serve {line}")
    settings = bound.arguments["settings"]
    assert (settings.port, settings.host) == expected


def test_every_option_has_an_environment_variable(monkeypatch):
    given = {
        "host": "::1", "port": "9000", "model": "m", "voice_model": "v", "turn_model": "t", "api_key": KEY,
        "speaker_model": "s", "allow_anonymous": "true", "aliases": "fast=m", "transcription_model": "whisper-1",
        "session_model": "gpt-realtime-mini", "max_sessions": "9",
        "max_sessions_per_address": "3", "forwarded_allow_ips": "::1", "max_idle_minutes": "7.5",
        "models_dir": "models", "data_dir": "data", "redis": "redis://a.example",
        "models_memory_mb": "900",
        "threads": "2", "workers": "2", "max_session_minutes": "5", "max_file_mb": "5", "max_file_minutes": "5",
        "node_address": "10.0.0.5:8000", "resume_seconds": "7", "drain_seconds": "3",
        "log_level": "debug", "log_format": "json",
        "tls_cert": "cert.pem", "tls_key": "key.pem", "tls_self_signed": "true", "webrtc_ports": "50000-50099",
        "webrtc_address": "203.0.113.5", "webrtc_stun": "stun:a.example", "webrtc_turn": "turn:a.example",
        "webrtc_turn_username": "u", "webrtc_turn_password": "p", "event_log": "events",
        "journal": "kept", "journal_days": "9",
        "upstream": "http://gpu/v1",
        "upstream_key": "k", "upstream_model": "m", "upstream_concurrency": "3", "upstream_timeout_s": "2.5",
        "upstream_partials": "true", "model_options": "toy_unit=minutes",
        "compute": "ray://workers:9000", "compute_ca": "/etc/hark/workers.pem", "compute_token": "of-the-workers",
        "compute_rotate_seconds": "30.0",
    }  # fmt: skip
    files = {"env_file", "api_key_file"}
    assert given.keys() | files >= {name for name, field in Settings.model_fields.items() if field.description}
    for name, value in given.items():
        monkeypatch.setenv(f"HARK_{name.upper()}", value)
    assert Settings() == Settings(**given)


def test_the_two_that_name_files_are_options_too(monkeypatch, tmp_path):
    (tmp_path / "key").write_text(f"{KEY}\n")
    (tmp_path / "a.env").write_text("HARK_API_KEY_FILE=key\nHARK_PORT=4\nHARK_HOST=::1\n")
    (tmp_path / ".env").write_text("HARK_PORT=1\nHARK_THREADS=1\n")
    monkeypatch.setenv("HARK_ENV_FILE", "a.env")
    monkeypatch.setenv("HARK_HOST", "127.0.0.2")
    there = Settings()
    assert (there.port, there.host, there.threads) == (4, "127.0.0.2", None), ".env counts no more"
    assert there.api_key.get_secret_value() == KEY
    (tmp_path / "b.env").write_text("HARK_PORT=5\n")
    assert Settings(env_file="b.env").port == 5
    assert Settings(env_file=None, port=6).port == 6


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"env_file": "none"}, "--env-file none cannot be read: No such file"),
        ({"env_file": "half"}, "--env-file half, line 2: expected NAME=VALUE"),
        ({"api_key_file": "none"}, "--api-key-file none cannot be read: No such file"),
        ({"api_key_file": "binary"}, "--api-key-file binary cannot be read: it is no text in UTF-8"),
        ({"api_key_file": "empty"}, "--api-key-file empty: expected a key; the file is empty"),
        ({"api_key_file": "key", "api_key": KEY}, "Expected --api-key or --api-key-file; got both"),
    ],
)
def test_files_that_hold_no_settings(tmp_path, given, message):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "half").write_text("HARK_PORT=5\ngarbage here ===\n")
    (tmp_path / "key").write_text(KEY)
    with pytest.raises(OperatorError, match=message):
        Settings(**given)


@pytest.mark.parametrize("name", ["port", "api_key", "models_dir", "threads", "log_level"])
def test_an_empty_variable_is_none(monkeypatch, name):
    monkeypatch.setenv(f"HARK_{name.upper()}", "")
    assert Settings() == Settings(_env_file=None)


@pytest.mark.parametrize(
    "options",
    [
        {"port": -1},
        {"port": 65_536},
        {"threads": 0},
        {"max_session_minutes": 0},
        {"journal_days": 0},
        {"log_level": "loud"},
        {"port": "x"},
    ],
)
def test_what_is_out_of_range_is_refused_by_name(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        Settings(**options)


def test_the_names_of_other_programs_count_where_hark_s_own_are_not_set(monkeypatch, tmp_path):
    # Applications written for OpenAI keep these two in their .env (contract G.3).
    lines = "OPENAI_REALTIME_SESSION_MODEL=gpt-4o-realtime-preview-2024-12-17\nTRANSCRIPTION_MODEL=whisper-1\n"
    (tmp_path / ".env").write_text(lines)
    assert Settings().session_model == "gpt-4o-realtime-preview-2024-12-17"
    assert Settings().transcription_model == "whisper-1"
    assert Settings(transcription_model="x").transcription_model == "x"
    monkeypatch.setenv("TRANSCRIPTION_MODEL", "whisper-small")
    assert Settings().transcription_model == "whisper-small"
    monkeypatch.setenv("HARK_TRANSCRIPTION_MODEL", "")
    assert Settings().transcription_model == "whisper-small"
    monkeypatch.setenv("HARK_TRANSCRIPTION_MODEL", "gpt-transcribe")
    assert Settings().transcription_model == "gpt-transcribe"


def test_a_flag_stands_over_the_names_of_other_programs(monkeypatch):
    monkeypatch.setenv("OPENAI_REALTIME_SESSION_MODEL", "gpt-realtime-mini")
    _, bound, _ = app.parse_args("serve --session-model gpt-realtime-2 --aliases a=b")
    settings = bound.arguments["settings"]
    assert (settings.session_model, settings.aliases) == ("gpt-realtime-2", "a=b")


@pytest.mark.parametrize(
    ("written", "table"),
    [
        (None, {}),
        (" , ", {}),
        ("fast=moonshine-tiny-en", {"fast": "moonshine-tiny-en"}),
        (" fast = a , whisper-1=b=c,", {"fast": "a", "whisper-1": "b=c"}),
    ],
)
def test_aliases_are_pairs(written, table):
    assert Settings(aliases=written).alias_table() == table


@pytest.mark.parametrize("written", ["fast", "fast=", "=model", "good=a,bad", "a=x,A=y"])
def test_aliases_that_are_none(written):
    with pytest.raises(OperatorError, match=r"--aliases .* expected NAME=MODEL, .*; got '"):
        Settings(aliases=written).alias_table()


# ---- what is not safe


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "speech.example", "*"])
def test_others_are_let_in_only_with_a_key_or_on_purpose(monkeypatch, host):
    with pytest.raises(OperatorError, match=r"no key is set.*HARK_API_KEY.*--allow-anonymous"):
        Settings(host=host).check()
    with pytest.raises(OperatorError, match="is blank"):
        Settings(host=host, api_key="").check()
    Settings(host=host, api_key=KEY).check()
    for key in (f"{KEY} ", f"{KEY}\n", "two words", "schlüssel"):
        with pytest.raises(OperatorError, match="no client could send it") as caught:
            Settings(host=host, api_key=key).check()
        assert key not in caught.value.message
    Settings(host=host, allow_anonymous=True).check()


@pytest.mark.parametrize("token", ["", "of the workers", "of-the-workers\n", "ünsendbar"])
def test_a_token_that_no_header_holds_is_refused(token):
    with pytest.raises(OperatorError, match="--compute-token"):
        Settings(_env_file=None, compute_token=token).check()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_needs_no_key(host):
    Settings(host=host).check()


@pytest.mark.parametrize("name", ["api_key", "upstream_key", "model_options", "compute_token"])
def test_keys_are_not_shown(name):
    settings = Settings(**{name: f"toy_key={KEY}"})
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert KEY not in shown
    assert getattr(settings, name).get_secret_value() == f"toy_key={KEY}"


def test_the_password_of_redis_is_a_secret_too():
    settings = Settings(redis="rediss://user:hush%2Fhush@a.example:6379/0")
    assert "hush" not in repr(settings) + str(settings) + settings.model_dump_json()
    assert "hush%2Fhush" in settings.secrets()
    assert Settings(redis="redis://a.example").secrets() == ["redis://a.example"]


# ---- what models are told


def test_models_are_told_of_their_own_options_and_of_no_others(tmp_path):
    table = Settings(api_key=KEY, upstream_key="k", model_options=" a = b=c ,d=e,", workers=4).model_option_table()
    assert table == {
        "a": "b=c", "d": "e", "upstream_key": "k", "upstream_model": "whisper-1", "upstream_concurrency": 2,
        "upstream_timeout_s": 30,
    }  # fmt: skip
    assert "b=c" not in repr(LoadOptions(tmp_path, options=table))


@pytest.mark.parametrize("written", ["a", "a=", "=secret", "good=secret,bad", "a=x,a=y", "upstream_key=secret"])
def test_model_options_that_are_none(written):
    with pytest.raises(OperatorError, match=r"--model-options: expected NAME=VALUE") as caught:
        Settings(upstream_key="k", model_options=written).model_option_table()
    assert "secret" not in caught.value.message


def test_an_option_that_no_model_takes_is_refused():
    with pytest.raises(OperatorError, match=r"--model-options: no installed model takes 'nothing'"):
        under_options({}, Settings(model_options="nothing=secret").model_option_table())


@pytest.mark.parametrize("options", [
    {"tls_cert": "cert.pem"},
    {"tls_key": "key.pem"},
    {"tls_cert": "cert.pem", "tls_key": "key.pem", "tls_self_signed": True},
    {"webrtc_ports": "50099-50000"},
    {"webrtc_ports": "80-90"},
    {"webrtc_ports": "many"},
    {"webrtc_address": "hark.example"},
    {"webrtc_stun": "stun.example:3478"},
    {"webrtc_turn": "stun:turn.example"},
])  # fmt: skip
def test_options_of_calls_and_certificates_that_cannot_be(options):
    with pytest.raises(OperatorError, match="--" + next(iter(options)).replace("_", "-")):
        Settings(**options).check()


def test_days_are_those_of_a_journal():
    with pytest.raises(OperatorError, match=r"--journal-days .* Set --journal too"):
        Settings(journal_days=9).check()
    Settings(journal="kept", journal_days=9).check()


def test_ports_and_addresses_of_calls():
    settings = Settings(webrtc_ports="50000 - 50001", webrtc_address="203.0.113.5, ::1")
    settings.check()
    assert settings.webrtc_port_range() == (50_000, 50_001)
    assert settings.webrtc_addresses() == ("203.0.113.5", "::1")
    assert Settings(webrtc_ports="50000").webrtc_port_range() == (50_000, 50_000)
