"""Every codec that this machine can run passes the suite, in every format it claims."""

import pytest

from xvcomp import codecs

from .codec_suite import CodecSuite, cases

FOUND = {name: codecs.probe(name) for name in codecs.names()}
# FFV1 claims 27 formats; these differ in the pixel format or in how codes are carried.
DEPTHS = {"ffv1": (8, 11, 16)}
CASES = [
    case
    for name, found in FOUND.items()
    if found.usable
    for case in cases(codecs.get(name), found)
    if case.depth in DEPTHS.get(name, (case.depth,))
]


@pytest.fixture(params=CASES, ids=lambda c: f"{c.codec.name}-{c.chroma}-{c.depth}")
def case(request):
    return request.param


class TestPyavCodecs(CodecSuite):
    pass


@pytest.mark.parametrize("name", ["libx265", "libsvtav1", "ffv1"])
def test_the_codecs_that_plans_rely_on_work_here(name):
    assert FOUND[name].reason is None
    assert ("gray", 8) in FOUND[name].formats
    assert ("gray", 10) in FOUND[name].formats


def test_unusable_codecs_say_why():
    for name, found in FOUND.items():
        assert found.usable or found.reason, name
