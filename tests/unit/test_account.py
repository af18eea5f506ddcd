"""As whom a server runs, for root and for everybody else."""

from __future__ import annotations

import os

import pytest

from pg_ephemeral.errors import BackendError
from pg_ephemeral.postgres import account
from pg_ephemeral.process import Invocation, capture


@pytest.mark.skipif(os.geteuid() == 0, reason="root is the other case")
def test_an_ordinary_user_runs_servers_as_itself() -> None:
    assert account.choose() == account.Account()


@pytest.mark.needs("namespace")
def test_root_is_shown_as_somebody_else_in_a_namespace() -> None:
    chosen = account.choose()
    assert not chosen.foreign
    done = capture(Invocation(argv=(*chosen.prefix, "id", "-u")))
    assert done.stdout.strip() != b"0"


# acceptance: 208
@pytest.mark.needs("root")
def test_the_variable_names_a_user_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(account.VARIABLE, "nobody")
    chosen = account.choose()
    assert (chosen.name, chosen.prefix, chosen.foreign) == ("nobody", (), True)


# acceptance: 208
@pytest.mark.needs("root")
@pytest.mark.parametrize("name", ["root", "no-such-user"])
def test_a_user_that_will_not_do_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(account.VARIABLE, name)
    with pytest.raises(BackendError, match=name) as caught:
        account.choose()
    assert account.VARIABLE in (caught.value.hint or "")
