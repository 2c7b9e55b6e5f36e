"""What one infra hands to another of the same client, so that it may use its registry: a file with a secret in it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kokiris.kernel.errors import BadInput, HostError


class Share(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Written by `kokiris registry share`, taken in by `kokiris up -registry`."""

    Server: str
    """host[:port], as it stands in image names."""
    Authority: str
    """Of its certificate, PEM."""
    Account: str
    """Of kind infra: pulls everything, and says what it uses."""
    Secret: str

    @property
    def client(self) -> str:
        """Whose registry it is: `registry.<client>.<domain>`."""
        return self.Server.split(".")[1] if self.Server.count(".") > 1 else ""


def read_share(path: Path) -> Share:
    """Raises BadInput naming the file when it is none, HostError when this user may not read it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Share)
    except FileNotFoundError as error:
        raise BadInput(
            f"{path} does not exist",
            next_step="Make it with `kokiris registry share INFRA -o FILE`, where the registry is.",
        ) from error
    except PermissionError as error:
        raise HostError(f"{path} is not readable for this user", next_step="Use root.") from error
    except msgspec.MsgspecError as error:
        raise BadInput(
            f"{path} is not the file of a shared registry: {error}", next_step="Make it with `kokiris registry share`."
        ) from error
