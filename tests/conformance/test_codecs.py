"""Every codec that this machine can run passes the suite, in every format it claims.

``XVCOMP_REQUIRE=nvenc,libaom`` names what must be there: a codec whose name holds one of
the words fails instead of being left out.
"""

import os

import pytest

from xvcomp import codecs

from .codec_suite import CodecSuite, cases

FOUND = {name: codecs.probe(name) for name in codecs.names()}
# FFV1 claims 27 formats; these differ in the pixel format or in how codes are carried.
DEPTHS = {"ffv1": (8, 11, 16)}
# A program is started for each clip: these formats stand for the others, as they differ in
# the decoder, in how gray travels, or in the depth. XVCOMP_ALL_FORMATS=1 tries all.
FORMATS = {
    "libaom-av1": (("gray", 12), ("444", 12)),
    "librav1e": (("gray", 10), ("444", 12)),
    "libopenjpeg": (("gray", 12), ("gray", 16), ("420", 8)),
}


def wanted(case):
    if os.environ.get("XVCOMP_ALL_FORMATS") == "1":
        return True
    name = case.codec.name
    formats = FORMATS.get(name, ((case.chroma, case.depth),))
    return case.depth in DEPTHS.get(name, (case.depth,)) and (case.chroma, case.depth) in formats


CASES = [
    case
    for name, found in FOUND.items()
    if found.usable
    for case in cases(codecs.get(name), found)
    if wanted(case)
]


@pytest.fixture(params=CASES, ids=lambda c: f"{c.codec.name}-{c.chroma}-{c.depth}")
def case(request):
    return request.param


class TestCodecs(CodecSuite):
    pass


@pytest.mark.parametrize("name", ["libx265", "libsvtav1", "ffv1"])
def test_the_codecs_that_plans_rely_on_work_here(name):
    assert FOUND[name].reason is None
    assert ("gray", 8) in FOUND[name].formats
    assert ("gray", 10) in FOUND[name].formats


def test_unusable_codecs_say_why():
    for name, found in FOUND.items():
        assert found.usable or found.reason, name


def required():
    return [word for word in os.environ.get("XVCOMP_REQUIRE", "").split(",") if word.strip()]


@pytest.mark.parametrize("word", required() or ["ffmpeg"])
def test_what_is_required_here_works_here(word):
    if not required():
        pytest.skip("XVCOMP_REQUIRE names nothing that must work here")
    named = {name: found for name, found in FOUND.items() if word.strip() in name}
    assert named, f"no codec's name holds {word!r}"
    broken = {name: found.reason for name, found in named.items() if not found.usable}
    assert not broken
