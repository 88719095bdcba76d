"""Load: many sessions that talk in real time, and how long their transcripts take.

Rule: what is measured is what a client sees. The end of speech is known from the clip and not from the server, a turn
that was never transcribed counts as infinitely late, and a number is not called too many while the load generator
itself was late.
"""
