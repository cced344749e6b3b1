"""The webhook runner when something breaks: what may have run, and what certainly did not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.domain.errors import DeliveryTrouble, Misconfigured
from app.domain.lifecycle import Delivered, Event, TroubleKind
from app.infrastructure.http_client import build_client
from tests.contracts.runner_stage import (
    Stage,
    staged,
)
from tests.far_side import (
    Behaviour,
    Call,
    FarSide,
    answer,
    close_after_body,
    far_side,
    hang,
    reply,
    reset_after_body,
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with far_side() as far, staged(tmp_path, far) as stage:
        yield stage


async def test_a_refused_connection_is_trouble_that_certainly_did_not_run(stage: Stage) -> None:
    trouble = await stage.trouble(await stage.job(), url="http://127.0.0.1:1/secret-path")
    assert trouble.kind == TroubleKind.UNAVAILABLE
    assert str(trouble) == "not reached: Connection refused"


async def test_an_unknown_host_is_trouble_that_certainly_did_not_run(stage: Stage) -> None:
    assert (await stage.trouble(await stage.job(), url="http://n8n.invalid/x")).kind == TroubleKind.UNAVAILABLE


async def test_a_connection_that_breaks_inside_the_body_certainly_did_not_run(stage: Stage) -> None:
    async def rude(call: Call) -> None:
        await call.read_body(1000)
        call.abort()

    stage.far.will(rude)
    job = await stage.job(bytes(20_000_000))
    assert (await stage.trouble(job)).kind == TroubleKind.UNAVAILABLE


@pytest.mark.parametrize("behaviour", [reset_after_body, close_after_body])
async def test_a_connection_that_breaks_after_the_body_may_have_run(stage: Stage, behaviour: Behaviour) -> None:
    stage.far.will(behaviour)
    assert (await stage.trouble(await stage.job())).kind == TroubleKind.NO_ANSWER


async def test_silence_after_the_body_may_have_run(stage: Stage) -> None:
    stage.far.will(hang)
    trouble = await stage.trouble(await stage.job(), timeout=timedelta(seconds=1))
    assert trouble.kind == TroubleKind.NO_ANSWER
    assert str(trouble) == "no answer within 1 s"


async def test_a_far_side_that_stops_reading_certainly_did_not_run(stage: Stage) -> None:
    async def deaf(call: Call) -> None:
        await call.read_body(1000)
        await asyncio.Event().wait()

    stage.far.will(deaf)
    job = await stage.job(bytes(50_000_000))
    assert (await stage.trouble(job, timeout=timedelta(seconds=0.3))).kind == TroubleKind.UNAVAILABLE


async def test_a_slow_far_side_has_time_as_long_as_it_goes_on(stage: Stage) -> None:
    async def slow_reader(call: Call) -> None:
        for most in range(4_000_000, 40_000_000, 4_000_000):
            await call.read_body(most)
            await asyncio.sleep(0.1)
        await reply(200)(call)

    stage.far.will(slow_reader)
    event = await stage.runner(timeout=timedelta(seconds=0.8)).run(await stage.job(bytes(40_000_000)))
    assert isinstance(event, Delivered)


async def test_an_answer_without_end_is_cut_off(stage: Stage) -> None:
    async def drip(call: Call) -> None:
        await call.read_body()
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await call.send(b"it goes on and on ")
            await asyncio.sleep(0.02)

    stage.far.will(drip)
    async with asyncio.timeout(10):
        event = await stage.runner(timeout=timedelta(seconds=1)).run(await stage.job())
    assert isinstance(event, Delivered)


async def test_a_2xx_that_breaks_before_its_first_word_may_have_run(stage: Stage) -> None:
    async def mute(call: Call) -> None:
        await call.read_body()
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nn8n is st")
        call.abort()

    stage.far.will(mute)
    assert (await stage.trouble(await stage.job())).kind == TroubleKind.NO_ANSWER


async def test_what_is_no_http_may_have_run(stage: Stage) -> None:
    async def babble(call: Call) -> None:
        await call.read_body()
        await call.send(b"\x00\x01 what?\r\n\r\n")

    stage.far.will(babble)
    assert (await stage.trouble(await stage.job())).kind == TroubleKind.NO_ANSWER


async def test_a_callback_during_the_request_does_not_disturb_the_delivery(stage: Stage) -> None:
    called_back = asyncio.Event()

    async def early_bird(call: Call) -> None:
        await call.read_body()
        called_back.set()
        await asyncio.sleep(0.05)
        await call.send(answer(200, "{}"))

    stage.far.will(early_bird)
    running = asyncio.create_task(stage.runner().run(await stage.job()))
    await called_back.wait()
    assert not running.done()
    assert isinstance(await running, Delivered)


async def test_a_cancelled_delivery_lets_go_of_its_connection(stage: Stage) -> None:
    reading, gone = asyncio.Event(), asyncio.Event()

    async def wait_for_the_end(call: Call) -> None:
        await call.read_body()
        reading.set()
        if not await call._reader.read(1):
            gone.set()

    stage.far.will(wait_for_the_end)
    running = asyncio.create_task(stage.runner().run(await stage.job()))
    await reading.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(2):
        await gone.wait()


async def test_many_deliveries_share_connections(stage: Stage) -> None:
    runner = stage.runner()
    for _ in range(5):
        await runner.run(await stage.job())
    assert stage.far.connections == 1


async def test_a_connection_that_the_far_side_gave_up_is_not_used_again(stage: Stage) -> None:
    async def leave(call: Call) -> None:
        await reply(200)(call)
        call.close()

    stage.far.will(leave)
    for _ in range(3):
        assert isinstance(await stage.runner().run(await stage.job()), Delivered)
        await asyncio.sleep(0.02)
    assert stage.far.connections == 3


async def test_cookies_are_neither_kept_nor_sent(stage: Stage) -> None:
    stage.far.will(reply(200, headers={"Set-Cookie": "session=1; Path=/"}))
    for _ in range(2):
        await stage.runner().run(await stage.job())
    assert stage.far.receipts[1].header("cookie") is None


# TLS


@pytest.fixture
async def secure(tmp_path: Path, certificate: tuple[Path, Path]) -> AsyncIterator[FarSide]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with far_side(tls=context) as far:
        yield far


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "far side")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    folder = tmp_path_factory.mktemp("tls")
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, private


async def deliver_over_tls(tmp_path: Path, far: FarSide, **options: object) -> Event:
    settings = {"verify": True, "ca_file": None} | options
    async with staged(tmp_path / "files", far) as stage, build_client(connections=5, **settings) as client:
        stage.client = client
        return await stage.runner().run(await stage.job())


async def test_an_unknown_certificate_is_refused_before_anything_is_sent(tmp_path: Path, secure: FarSide) -> None:
    with pytest.raises(DeliveryTrouble, match="certificate is not trusted") as caught:
        await deliver_over_tls(tmp_path, secure)
    assert caught.value.kind == TroubleKind.UNAVAILABLE
    assert secure.receipts == []


async def test_a_ca_file_makes_a_certificate_known(
    tmp_path: Path, secure: FarSide, certificate: tuple[Path, Path]
) -> None:
    assert isinstance(await deliver_over_tls(tmp_path, secure, ca_file=certificate[0]), Delivered)


async def test_verification_can_be_switched_off(tmp_path: Path, secure: FarSide) -> None:
    assert isinstance(await deliver_over_tls(tmp_path, secure, verify=False), Delivered)


async def test_a_far_side_that_does_not_speak_tls_got_nothing(stage: Stage) -> None:
    trouble = await stage.trouble(await stage.job(), url=stage.far.url.replace("http:", "https:"))
    assert trouble.kind == TroubleKind.UNAVAILABLE
    assert stage.far.receipts == []


def test_a_ca_file_without_certificates_stops_the_start(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(Misconfigured, match=path.name):
            build_client(verify=True, ca_file=path, connections=1)
