import ssl
from pathlib import Path

import pytest

from integrations.his.hl7v2.mllp_client import MllpClient, client_tls
from integrations.his.hl7v2.mllp_listener import MllpListener, Peer, server_tls
from tests.integrations.his.hl7v2.mllp_scene import HOST, Authority, Hospital, admission, is_disconnected, msa, run


async def send_with_tls(tls: ssl.SSLContext, listener: MllpListener) -> tuple[str, str]:
    async with MllpClient(HOST, listener.port, tls=tls) as client:
        await client.send(admission().encode())
        return msa(await client.receive())


def test_under_tls_the_peer_is_named_by_its_client_certificate(tmp_path: Path) -> None:
    async def conversation() -> None:
        city = Authority(tmp_path, "city")
        tls = server_tls(*city.certify("chengma"), city.own)
        mine = client_tls(*city.certify("first-hospital"), city.own)
        hospital = Hospital()
        async with hospital.serve(tls=tls) as listener:
            assert await send_with_tls(mine, listener) == ("AA", "M-1")
            assert hospital.peers == [Peer(HOST, "first-hospital")]

    run(conversation())


def test_under_tls_a_client_without_a_trusted_certificate_is_refused(tmp_path: Path) -> None:
    async def conversation() -> None:
        city, stranger = Authority(tmp_path, "city"), Authority(tmp_path, "stranger")
        tls = server_tls(*city.certify("chengma"), city.own)
        anonymous = ssl.create_default_context(cafile=str(city.own))
        foreign = client_tls(*stranger.certify("second-hospital"), city.own)
        hospital = Hospital()
        async with hospital.serve(tls=tls) as listener:
            for theirs in (anonymous, foreign):
                with pytest.raises(OSError):  # noqa: PT011  the alert, or the end of the connection
                    await send_with_tls(theirs, listener)
            mine = client_tls(*city.certify("first-hospital"), city.own)
            assert await send_with_tls(mine, listener) == ("AA", "M-1")
        assert [peer.name for peer in hospital.peers] == ["first-hospital"]

    run(conversation())


def test_under_tls_a_client_without_tls_is_refused(tmp_path: Path) -> None:
    async def conversation() -> None:
        city = Authority(tmp_path, "city")
        hospital = Hospital()
        tls = server_tls(*city.certify("chengma"), city.own)
        async with hospital.serve(tls=tls) as listener, MllpClient(HOST, listener.port) as client:
            await client.send(admission().encode())
            assert await is_disconnected(client)
        assert hospital.peers == []

    run(conversation())
