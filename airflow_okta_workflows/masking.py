"""Tell Airflow's log masker of each secret, the moment there is one.

Airflow masks a multi-line key only as one exact text, so every form of it is named here. Masks belong to the
process: each task masks anew.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import mask_secret


def mask(texts: tuple[str, ...]) -> None:
    """Mask texts in the logs of this process and of the supervisor that watches it.

    :param texts: the secrets
    """
    if texts:
        mask_secret(list(texts))


async def amask(texts: tuple[str, ...]) -> None:
    """Mask texts as :func:`mask` does, safely on an event loop.

    :param texts: the secrets
    """
    if not texts:
        return
    try:
        from airflow.sdk.log import amask_secret
    except ImportError:
        # Before Airflow 3.3.2 the supervisor is only told synchronously, which must not happen on the loop.
        from asgiref.sync import sync_to_async

        await sync_to_async(mask)(texts)
    else:
        await amask_secret(list(texts))
