"""How a registry stands to one image: the states that its answers, and what engines print of them, are sorted into."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["State"]


class State(StrEnum):
    """What is known of an image in a registry. The values are words for people and for JSON."""

    #: It is there.
    PRESENT = "present"
    #: It is not there, or neither is its repository.
    ABSENT = "absent"
    #: It is not there or we may not see it: registries that keep the secret of what exists answer both alike.
    HIDDEN = "hidden"
    #: It may be there; we are known, and are not allowed.
    DENIED = "denied"
    #: The registry wants to know who asks, and we have no credentials for it.
    NOT_LOGGED_IN = "not logged in"
    #: The registry does not accept the credentials we have.
    BAD_CREDENTIALS = "bad credentials"
    #: We asked too often.
    RATE_LIMITED = "rate limited"
    #: The registry cannot be reached, or has trouble of its own.
    DOWN = "down"
    #: No trusted connection: an unknown authority, a wrong name, plain HTTP where TLS is expected.
    TLS = "tls"
    #: It is there, and its content is not what was promised: a digest, a size, a part that is gone.
    CORRUPT = "corrupt"
    #: None of these; the message tells.
    UNKNOWN = "unknown"

    @property
    def is_miss(self) -> bool:
        """Whether it is as good as not there: what is looked for may be made, or looked for elsewhere."""
        return self in (State.ABSENT, State.HIDDEN)

    @property
    def is_passing(self) -> bool:
        """Whether the same question may have another answer a while later."""
        return self in (State.RATE_LIMITED, State.DOWN)
