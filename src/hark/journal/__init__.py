"""The journal of transcripts: what was said, on disk, for those who switch it on."""
