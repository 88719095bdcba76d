"""The arithmetic of docs/scaling.md: from fleet.toml to machines, GPUs, networks and rates.

Rule: nothing is drawn at random but the turns of `demand`, always the same ones; so the same inputs give the same page.
Each line says how it was reckoned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from fleet_inputs import Inputs
from fleet_talk import Demand, demand

# An append of 100 ms at 24 kHz: 4,800 bytes, in base64 within its event, in a masked frame with a 4-byte length.
APPENDS = 10
APPEND_BYTES = 4_800 * 4 // 3 + len('{"type":"input_audio_buffer.append","audio":""}') + 8
# Ethernet, IPv4, TCP with timestamps; a record of TLS 1.3; what a segment holds then.
SEGMENT_BYTES, RECORD_BYTES, SEGMENT = 14 + 20 + 32, 22, 1_448
# Ethernet, IPv4, UDP, RTP, and the tag of SRTP.
PACKETS, PACKET_BYTES = 50, 14 + 20 + 8 + 12 + 10
GPU_BATCH = 8


@dataclass(frozen=True)
class Plan:
    """Of all cells, but for what ends in `_each` or begins with `cell_`."""

    turn: Demand
    turns_per_s: float  # a session
    gateway_cores_busy: float
    gateway_machines: int
    gateways_each: int  # sessions of one
    gateway_gib_each: float
    target: dict[str, int]  # streams of a replica, by the kind of worker
    replicas: dict[str, int]
    cpu_worker_cores: int
    lines: tuple[tuple[str, str, str, str], ...]


def plan(inputs: Inputs) -> Plan:
    turn = demand(inputs)
    turns_per_s = inputs.speech_share / turn.spoken_s
    asked_per_s = turns_per_s * (turn.ends + turn.partials)
    calls = inputs.sessions * inputs.rtc_share
    sockets = inputs.sessions - calls
    begins_per_s = inputs.sessions / inputs.session_s

    front = (sockets * inputs.ws_cpu_ms + calls * inputs.rtc_cpu_ms) / 1000
    hop = inputs.sessions * asked_per_s * inputs.hop_gateway_ms / 1000
    begun = begins_per_s * (
        inputs.rtc_share * inputs.rtc_setup_ms / 1000 + inputs.secret_share * inputs.verify_us / 1e6
    )
    busy = front + hop + begun
    machines = inputs.cells * math.ceil(busy / inputs.load / inputs.machine_cores / inputs.cells)
    each = math.ceil(inputs.sessions / machines)
    gib = (each * inputs.session_kib / 1024 + inputs.machine_cores * inputs.process_mib) / 1024

    seconds = {
        "cpu": turn.ends_cpu_s / inputs.caller_cores,
        "gpu": turn.ends_s / inputs.gpu_speed + turn.ends / GPU_BATCH * inputs.gpu_batch_ms / 1000,
    }
    target = {kind: math.floor(inputs.load / (turns_per_s * taken)) for kind, taken in seconds.items()}
    replicas = {
        kind: inputs.cells * math.ceil(inputs.sessions / inputs.cells / streams) for kind, streams in target.items()
    }
    cores = int(replicas["cpu"] * inputs.caller_cores)
    hop_cores = inputs.sessions * asked_per_s * inputs.hop_worker_ms / 1000

    segments = math.ceil((APPEND_BYTES + RECORD_BYTES) / SEGMENT)
    socket_mbit = APPENDS * (APPEND_BYTES + RECORD_BYTES + segments * SEGMENT_BYTES) * 8 / 1e6
    call_mbit = inputs.opus_kbit / 1000 + PACKETS * PACKET_BYTES * 8 / 1e6
    hop_mbit = inputs.speech_share * 16_000 * inputs.sample_bytes * 8 / 1e6
    relayed = calls * inputs.relayed_share
    gateways_cell = machines / inputs.cells
    beats = min(inputs.keys_per_cell * gateways_cell, inputs.sessions / inputs.cells) / inputs.redis_beat_s
    redis = begins_per_s / inputs.cells * inputs.redis_session_ops + beats + gateways_cell / inputs.redis_beat_s

    def lines() -> Iterator[tuple[str, str, str, str]]:
        def line(what: str, total: float, unit: str, how: str) -> tuple[str, str, str, str]:
            return what, _said(total, unit), _said(total / inputs.cells, unit), how

        yield line("sessions over WebSocket", sockets, "", "`sessions` less calls")
        yield line("calls by WebRTC", calls, "", "`rtc_share`")
        yield line("gateways: cores busy with sessions", front, "", "each at `ws_cpu_ms` or `rtc_cpu_ms`")
        yield line(
            "… with requests to workers", hop, "", f"{asked_per_s:.2f} requests a second of each, at `hop_gateway_ms`"
        )
        yield line("… with beginnings", begun, "", "`rtc_setup_ms`, `verify_us`, and `session_s`")
        yield line(f"gateways of {inputs.machine_cores} cores", machines, "", f"busy to {inputs.load:.0%}")
        yield "sessions of a gateway", f"{each:,}", "", "the peak over gateways"
        yield "memory of a gateway", f"{gib:.1f} GiB", "", "`session_kib` each, `process_mib` for each core"
        yield line(
            "audio over WebSockets",
            sockets * socket_mbit / 1000,
            "Gbit/s",
            f"{socket_mbit:.2f} Mbit/s each: base64, TLS, TCP",
        )
        yield line("… packets a second", sockets * APPENDS * segments, "", f"{segments} segments for 100 ms")
        yield line(
            "audio of calls", calls * call_mbit / 1000, "Gbit/s", f"{call_mbit:.3f} Mbit/s each: Opus, SRTP, UDP"
        )
        yield line("… packets a second", calls * PACKETS, "", "one every 20 ms")
        yield "UDP ports of a gateway", f"{math.ceil(calls / machines):,}", "", "one for each call"
        yield line("TURN: calls relayed", relayed, "", "`relayed_share` of calls")
        yield line("… packets a second, in and out", 2 * relayed * PACKETS, "", "each comes and goes")
        yield line("… traffic, in and out", 2 * relayed * call_mbit / 1000, "Gbit/s", "the same")
        yield line(
            "CPU workers of " + f"{inputs.caller_cores} cores", replicas["cpu"], "", f"{target['cpu']} streams each"
        )
        yield line("… cores", cores, "", "Moonshine tiny")
        yield line("or GPUs", replicas["gpu"], "", f"{target['gpu']} streams each")
        yield line(
            "workers: cores busy with gRPC", hop_cores, "", "`hop_worker_ms` for each request; HAProxy not counted"
        )
        yield line(
            "audio from gateways to workers",
            inputs.sessions * hop_mbit / 1000,
            "Gbit/s",
            "speech alone, `sample_bytes`",
        )
        yield line("streams opened a second", inputs.sessions / inputs.rotation_s, "", "by rotation")
        yield line("sessions begun a second", begins_per_s, "", "`session_s`")
        yield line(
            "client secrets verified a second",
            begins_per_s * inputs.secret_share,
            "",
            "`secret_share`; each where it is shown",
        )
        yield line(
            "Redis: commands a second",
            redis * inputs.cells,
            "",
            "`redis_session_ops`, and a count of each key from each gateway",
        )

    return Plan(
        turn, turns_per_s, busy, machines, each, gib, target, replicas, cores, tuple(lines())
    )  # fmt: skip


def _said(value: float, unit: str) -> str:
    digits = 0 if value >= 20 or value == int(value) else 1 if value >= 1 else 2
    return f"{value:,.{digits}f} {unit}".strip()
