"""This machine is measured once for all tests, into a folder of its own."""

import os

import pytest


@pytest.fixture(scope="session")
def here(tmp_path_factory):
    from depthwise.measuring.devices.machine import this_machine

    before = os.environ.get("DEPTHWISE_CACHE")
    os.environ["DEPTHWISE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield this_machine()
    if before is None:
        del os.environ["DEPTHWISE_CACHE"]
    else:
        os.environ["DEPTHWISE_CACHE"] = before
