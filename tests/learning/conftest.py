import pytest
import torch

from galhelpers.learning.training import computes_in_bfloat16


@pytest.fixture
def cpu_with(monkeypatch):
    """Let this computer say that it has other instructions; it can compute in bfloat16 anyway."""

    def say(**instructions):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
        computes_in_bfloat16.cache_clear()

    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    yield say
    computes_in_bfloat16.cache_clear()
