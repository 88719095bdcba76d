"""Every option of the server, declared once: the flag, the environment variable, the `.env` line and the docs follow.

Rule: flag over environment over `.env` over default. `--log-level` is HARK_LOG_LEVEL and `log_level` here.
Refuses: unknown flags and values out of range, by name and with the mend.
"""

from __future__ import annotations

import os
import re
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal

from dotenv.parser import parse_stream
from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from hark.errors import OperatorError

# What a server that runs takes up by SIGHUP; all else is what it was started with.
RELOADED: Final = frozenset(
    {
        "api_key", "api_key_file", "aliases", "transcription_model", "session_model",
        "max_sessions", "max_session_minutes", "max_file_mb", "max_file_minutes", "tls_cert", "tls_key", "log_level",
    }
)  # fmt: skip


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="HARK_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, populate_by_name=True
    )

    env_file: Path | None = Field(
        default=None, description="File with HARK_ variables, a line each, to read instead of .env."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on. Any but loopback needs --api-key.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    model: str = Field(
        default="auto",
        description="Model that transcribes; every OpenAI name stands for it. 'auto' is what suits this machine best.",
    )
    voice_model: str = Field(default="silero-vad", description="Model that tells speech from silence.")
    turn_model: str = Field(
        default="smart-turn", description="Model that tells for semantic_vad whether a talker is done; 'none' for none."
    )
    speaker_model: str | None = Field(
        default=None,
        description="Model that tells speakers apart; 'none' for none. Default: speaker-campplus-en if it is pulled.",
    )
    aliases: str | None = Field(
        default=None, description="Further names for local models, or other models for OpenAI's: NAME=MODEL,NAME=MODEL."
    )
    transcription_model: str | None = Field(
        default=None,
        validation_alias=AliasChoices("HARK_TRANSCRIPTION_MODEL", "TRANSCRIPTION_MODEL"),
        description="Model name that counts for clients that send none. Default: that of --model.",
    )
    session_model: str = Field(
        default="gpt-realtime",
        validation_alias=AliasChoices("HARK_SESSION_MODEL", "OPENAI_REALTIME_SESSION_MODEL"),
        description="Model that a realtime session shows when its client named none.",
    )
    compute: str = Field(
        default="local",
        description="Where engines run: local, or ray://HOST:PORT for workers on Ray Serve (rays:// with TLS).",
    )
    compute_rotate_seconds: float = Field(
        default=60,
        gt=0,
        description="Seconds after which a session looks for another worker, when its turn is over.",
    )
    compute_token: SecretStr | None = Field(
        default=None, description="Secret that workers ask for; set it for them and for gateways, or for neither."
    )
    compute_ca: Path | None = Field(
        default=None, description="PEM file with the certificates to trust for rays://. Default: the system's."
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="Key that clients must send. Without one, anyone on this machine may connect, and nobody else.",
    )
    api_key_file: Path | None = Field(
        default=None, description="File with that key: a secret of Docker, Kubernetes or systemd."
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Serve other machines and any browser origin without a key. For closed networks only.",
    )
    upstream: str | None = Field(
        default=None,
        description="Server that transcribes for --model upstream, such as http://gpu:8000/v1 or wss://asr.example/v1.",
    )
    upstream_key: SecretStr | None = Field(default=None, description="Key for the server of --upstream.")
    upstream_model: str = Field(default="whisper-1", description="Model to ask the server of --upstream for.")
    upstream_concurrency: int = Field(
        default=8, ge=1, le=256, description="Requests to the server of --upstream at once, at most."
    )
    upstream_timeout_s: float = Field(
        default=30,
        gt=0,
        le=60,
        description="Seconds that the server of --upstream has for a transcript, retries included.",
    )
    upstream_partials: bool | None = Field(
        default=None,
        description="Ask the server of --upstream about turns that go on, too. Default: if its address is private.",
    )
    model_options: SecretStr | None = Field(
        default=None, description="What plug-ins' models are to be told: NAME=VALUE,NAME=VALUE."
    )
    models_dir: Path | None = Field(
        default=None, description="Folder with pulled model files. Default: the user's cache."
    )
    models_memory_mb: int | None = Field(
        default=None,
        ge=1,
        description="MiB that engines may hold before unused ones are dropped. Default: none ever is.",
    )
    data_dir: Path | None = Field(
        default=None, description="Folder with keys and client secrets' signing keys. Default: the user's data."
    )
    redis: SecretStr | None = Field(
        default=None,
        description="Redis in which several nodes share keys, signing keys and limits: redis://, rediss:// or unix://.",
    )
    threads: int | None = Field(default=None, ge=1, description="Cores for transcription. Default: every one.")
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes that serve the port; --threads are shared out among them.",
    )
    max_sessions: int | None = Field(
        default=None,
        ge=1,
        description="Sessions at once, uploads included. Default: as many as there is room for.",
    )
    max_sessions_per_address: int | None = Field(
        default=None, ge=1, description="Sessions at once from one client address, uploads included."
    )
    forwarded_allow_ips: str | None = Field(
        default=None,
        description="Proxies whose X-Forwarded-For and -Proto are believed: addresses, networks, with commas, or *.",
    )
    max_session_minutes: int = Field(default=1_440, ge=1, description="A session ends after this time.")
    max_idle_minutes: float | None = Field(
        default=None, gt=0, description="A session ends when its client has sent nothing for this time."
    )
    resume_seconds: float = Field(
        default=30,
        ge=0,
        le=3_600,
        description="Seconds that a session waits for a client that was cut off, and that its transcript is kept.",
    )
    drain_seconds: float = Field(
        default=15,
        ge=0,
        le=3_600,
        description="Seconds that turns in hand have to be finished when the server is stopped.",
    )
    max_file_mb: int = Field(default=25, ge=1, description="Largest file that may be uploaded, in MiB.")
    max_file_minutes: int = Field(default=240, ge=1, description="Longest recording that may be uploaded.")
    node_address: str | None = Field(
        default=None,
        description="HOST:PORT at which other nodes behind the same load balancer reach this server. Default: alone.",
    )
    tls_cert: Path | None = Field(default=None, description="PEM file with a certificate, to serve https and wss.")
    tls_key: Path | None = Field(default=None, description="PEM file with the key of --tls-cert.")
    tls_self_signed: bool = Field(
        default=False, description="Serve https and wss with a certificate that Hark makes for itself."
    )
    webrtc_ports: str | None = Field(
        default=None, description="UDP ports for WebRTC calls, such as 50000-50099. Default: any free ones."
    )
    webrtc_address: str | None = Field(
        default=None,
        description="IP addresses, with commas between, at which WebRTC clients reach this server: for containers.",
    )
    webrtc_stun: str | None = Field(
        default=None, description="STUN server, such as stun:stun.example.org:3478, for a server behind a NAT."
    )
    webrtc_turn: str | None = Field(
        default=None, description="TURN server, such as turn:turn.example.org:3478?transport=udp."
    )
    webrtc_turn_username: str | None = Field(default=None, description="User name at the TURN server.")
    webrtc_turn_password: SecretStr | None = Field(default=None, description="Password at the TURN server.")
    event_log: Path | None = Field(
        default=None,
        description="Folder for a log of each connection's events, transcripts included, for hark doctor --log.",
    )
    journal: Path | None = Field(
        default=None, description="Folder for a journal of transcripts, written before they are sent. Default: none."
    )
    journal_days: int | None = Field(
        default=None, ge=1, description="Days that the journal keeps a transcript. Default: until it is deleted."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What goes to the log.")
    log_format: Literal["text", "json"] = Field(
        default="text", description="What a line of the log is: text, or a JSON object for machines."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The file that is named stands in for .env. Raises OperatorError if it cannot be read."""
        if named := (env_settings() | init_settings()).get("env_file"):
            path = Path(named).expanduser()
            _check_lines(path, read_file("--env-file", path))
            dotenv_settings = DotEnvSettingsSource(settings_cls, env_file=path)
        return init_settings, env_settings, dotenv_settings

    @model_validator(mode="before")
    @classmethod
    def _read_key(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The key of `api_key_file` is `api_key`'s value. Raises OperatorError if it cannot be had."""
        named = given.get("api_key_file")
        if not named:
            return given
        if given.get("api_key"):
            raise OperatorError("Expected --api-key or --api-key-file; got both. Leave one out.")
        key = read_file("--api-key-file", path := Path(named).expanduser()).strip()
        if not key:
            raise OperatorError(f"--api-key-file {path}: expected a key; the file is empty. Write one into it.")
        return given | {"api_key": key}

    @property
    def own_key(self) -> str | None:
        """The one key that the settings hold."""
        return self.api_key.get_secret_value() if self.api_key else None

    @property
    def open_to_strangers(self) -> bool:
        """Whether other machines could connect."""
        if self.host == "localhost":
            return False
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return True

    @property
    def engines_here(self) -> bool:
        """Whether engines run on this machine."""
        return self.compute.strip().casefold() == "local"

    @property
    def tls(self) -> bool:
        """Whether https and wss are served."""
        return self.tls_self_signed or self.tls_cert is not None

    def alias_table(self) -> dict[str, str]:
        """The names of `aliases`, each with its model. Raises OperatorError where it is not written as expected."""
        table: dict[str, str] = {}
        for entry in (self.aliases or "").split(","):
            name, _, model = (part.strip() for part in entry.partition("="))
            if not entry.strip():
                continue
            if not name or not model or name.casefold() in map(str.casefold, table):
                raise OperatorError(
                    f"--aliases {self.aliases}: expected NAME=MODEL, several with commas between and each name once; "
                    f"got '{entry.strip()}'."
                )
            table[name] = model
        return table

    def model_option_table(self) -> dict[str, str | int | float | bool]:
        """What models may be told: the options of this server that are for one, and those of `model_options`, by name.
        Raises OperatorError where these are not written as expected."""
        own = {name: getattr(self, name) for name in type(self).model_fields if name.startswith("upstream")}
        table = {name: value for name, value in own.items() if value is not None}
        table["upstream_concurrency"] = max(1, self.upstream_concurrency // self.workers)
        if self.upstream_key is not None:
            table["upstream_key"] = self.upstream_key.get_secret_value()
        for entry in (self.model_options.get_secret_value() if self.model_options else "").split(","):
            name, _, value = (part.strip() for part in entry.partition("="))
            if not entry.strip():
                continue
            if not name or not value or name in table:  # the values are not shown: they may be keys
                raise OperatorError(
                    "--model-options: expected NAME=VALUE, several with commas between and each name once."
                )
            table[name] = value
        return table

    def secrets(self) -> list[str]:
        """The keys and passwords among the values, for whoever writes down anything."""
        given = [getattr(self, name) for name in type(self).model_fields]
        told = [value.get_secret_value() for value in given if isinstance(value, SecretStr)]
        told += [part.partition("=")[2].strip() for entry in told for part in entry.split(",") if "=" in part]
        told += re.findall(r"//[^/@:]*:([^@]+)@", self.redis.get_secret_value() if self.redis else "")
        return [each for each in told if each]

    def webrtc_port_range(self) -> tuple[int, int] | None:
        """The first and the last port. Raises OperatorError where it is no range of ports."""
        if not self.webrtc_ports:
            return None
        first, _, last = (part.strip() for part in self.webrtc_ports.partition("-"))
        if first.isdecimal() and (last or first).isdecimal() and 1_024 <= int(first) <= int(last or first) <= 65_535:
            return int(first), int(last or first)
        raise OperatorError(
            f"--webrtc-ports {self.webrtc_ports}: expected two ports from 1024 to 65535, such as 50000-50099."
        )

    def webrtc_addresses(self) -> tuple[str, ...]:
        """Raises OperatorError where one is no IP address."""
        found = tuple(part.strip() for part in (self.webrtc_address or "").split(",") if part.strip())
        for address in found:
            try:
                ip_address(address)
            except ValueError:
                raise OperatorError(
                    f"--webrtc-address {self.webrtc_address}: expected IP addresses, such as 203.0.113.5; "
                    f"got {address!r}."
                ) from None
        return found

    @property
    def data_folder(self) -> Path:
        """`data_dir`, else hark in the user's data folder (the XDG rule, on every system)."""
        if self.data_dir is not None:
            return self.data_dir.expanduser()
        data = Path(os.environ.get("XDG_DATA_HOME", ""))
        return (data if data.is_absolute() else Path.home() / ".local" / "share") / "hark"

    def check(self, *, has_keys: bool = False) -> None:
        """Raises OperatorError where the options together would be unsafe. `has_keys`: the key store has some."""
        if self.api_key is not None and not self.api_key.get_secret_value().strip():
            raise OperatorError("The key of --api-key or HARK_API_KEY is blank. Set one, or leave the option out.")
        if self.api_key is not None and not _sendable(self.api_key.get_secret_value()):
            raise OperatorError(
                "The key of --api-key or HARK_API_KEY holds a space, a control character or one that is not ASCII, and "
                "no client could send it. Set one of visible ASCII characters."
            )
        token = self.compute_token.get_secret_value() if self.compute_token is not None else None
        if token is not None and not (token and _sendable(token)):
            raise OperatorError(
                "The token of --compute-token or HARK_COMPUTE_TOKEN is empty, or holds a space, a control character or "
                "one that is not ASCII. Set one of visible ASCII characters."
            )
        if bool(self.tls_cert) != bool(self.tls_key) or (self.tls_cert and self.tls_self_signed):
            raise OperatorError("Expected --tls-cert and --tls-key together, or --tls-self-signed alone, or no TLS.")
        if self.journal_days is not None and self.journal is None:
            raise OperatorError("--journal-days says how long a journal is kept, and there is none. Set --journal too.")
        self.webrtc_port_range()
        self.webrtc_addresses()
        for name, url in (("stun", self.webrtc_stun), ("turn", self.webrtc_turn)):
            if url and not url.startswith(("stun:",) if name == "stun" else ("turn:", "turns:")):
                raise OperatorError(f"--webrtc-{name} {url}: expected a URL such as {name}:{name}.example.org:3478.")
        if self.open_to_strangers and not (self.api_key or has_keys or self.allow_anonymous):
            raise OperatorError(
                f"--host {self.host} lets other machines connect, and no key is set. Set one with --api-key or "
                "HARK_API_KEY, make one with hark keys create, or say --allow-anonymous if everyone who can reach this "
                "address may use the server."
            )


def read_file(option: str, path: Path) -> str:
    """Its text. Raises OperatorError."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is no text in UTF-8"
        raise OperatorError(f"{option} {path} cannot be read: {why}. Name a file that this user may read.") from error


def _check_lines(path: Path, text: str) -> None:
    """Half of a file is no settings. Raises OperatorError."""
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            raise OperatorError(
                f"--env-file {path}, line {binding.original.line}: expected NAME=VALUE, or a comment after #. "
                "Mend that line; a value with quotes or spaces stands in quotes."
            )


def _sendable(key: str) -> bool:
    """Whether it stays itself in a header."""
    return all("!" <= character <= "~" for character in key)
