"""What Home Assistant does with a Wyoming server, run in the bridge's environment: describe, transcribe, audio.

python wyoming_client.py URI FILE MODEL [paced]: prints the models on offer, the transcript and the pieces it came in.
The file is sent at once, or at its own pace.
"""

import asyncio
import json
import sys
import wave

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioStop, wav_to_chunks
from wyoming.client import AsyncClient
from wyoming.info import Describe, Info


async def main(uri, path, model, paced=""):
    async with AsyncClient.from_uri(uri) as client:
        await client.write_event(Describe().event())
        info = Info.from_event(await client.read_event())
        models = [model.name for program in info.asr for model in program.models]
        await client.write_event(Transcribe(name=model, language="en").event())
        with wave.open(path) as file:
            for event in wav_to_chunks(file, samples_per_chunk=1_024, start_event=True, stop_event=False):
                await client.write_event(event.event())
                await asyncio.sleep(1_024 / file.getframerate() if paced else 0)
        await client.write_event(AudioStop().event())
        pieces, streamed = [], False
        while event := await client.read_event():
            if TranscriptStart.is_type(event.type):
                streamed = True
            elif TranscriptChunk.is_type(event.type):
                pieces.append(TranscriptChunk.from_event(event).text)
            elif Transcript.is_type(event.type):
                print(json.dumps({"models": models, "pieces": pieces, "text": Transcript.from_event(event).text}))
            if TranscriptStop.is_type(event.type) or (Transcript.is_type(event.type) and not streamed):
                return
        sys.exit("The bridge closed the connection.")


asyncio.run(main(*sys.argv[1:]))
