"""Cube files: one MP4 with the manifest in its header, video tracks and timed packets.

The header comes first, so that one read of a file's start finds everything. After it
lie whole GOPs in order of time, and beside them the packets of the same frames. There
is one track per video stream, and one for all timed packets, whose time is the frame
and, below it, the slot (0 to 4095). Ten frames are shown a second, so that players
show something.

Both sides are written here rather than left to FFmpeg's muxer and demuxer: the muxer
interleaves packet by packet, which scatters the GOPs of several tracks over the file,
and the demuxer reads packets to open a file (FFV1's pixel format is known no other way).
The size of a plain header is the same either way; compressing it is what saves bytes.
"""

from .reader import Mp4Reader, is_xvcomp
from .writer import Mp4Writer

__all__ = ["Mp4Reader", "Mp4Writer", "is_xvcomp"]
