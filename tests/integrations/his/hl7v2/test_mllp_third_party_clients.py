import asyncio
import subprocess
import sys
from pathlib import Path

import hl7
import pytest
from hl7.mllp import open_hl7_connection

from integrations.his.hl7v2.mllp_frames import END_BLOCK, START_BLOCK
from integrations.his.hl7v2.syntax import Encoding
from tests.integrations.his.hl7v2.mllp_scene import HOST, TRAILING, Hospital, admission, run


@pytest.mark.parametrize(("encoding", "charset"), [("utf-8", "UNICODE UTF-8"), ("gb18030", "GB 18030-2000")])
def test_the_client_of_python_hl7_exchanges_messages(encoding: Encoding, charset: str) -> None:
    async def conversation() -> None:
        hospital = Hospital()
        async with hospital.serve() as listener:
            reader, writer = await open_hl7_connection(HOST, listener.port, encoding=encoding)
            for number, name in enumerate(TRAILING, 1):
                writer.writemessage(hl7.parse(admission(number, name, charset=charset)))
                await writer.drain()
                reply = await reader.readmessage()
                assert (reply["MSA.F1"], reply["MSA.F2"]) == ("AA", f"M-{number}")
                assert reply["MSH.F18"] == charset
            writer.close()
            await writer.wait_closed()
            assert "".join(hospital.names) == TRAILING

    run(conversation())


@pytest.mark.parametrize(("encoding", "charset"), [("utf-8", "UNICODE UTF-8"), ("gb18030", "GB 18030-2000")])
def test_mllp_send_gets_a_reply_for_each_message_of_a_file(encoding: str, charset: str, tmp_path: Path) -> None:
    async def conversation() -> None:
        sent = [admission(number, name, charset=charset) for number, name in enumerate(TRAILING, 1)]
        file = tmp_path / "messages.hl7"
        file.write_bytes(b"".join(START_BLOCK + message.encode(encoding) + END_BLOCK for message in sent))
        hospital = Hospital()
        script = str(Path(sys.executable).with_name("mllp_send"))
        async with hospital.serve() as listener:
            arguments = ["--port", str(listener.port), "--file", str(file), HOST]
            process = await asyncio.create_subprocess_exec(script, *arguments, stdout=subprocess.PIPE)
            output, _ = await process.communicate()
        assert process.returncode == 0
        assert output.decode(encoding).count("MSA|AA|M-") == 4
        assert "".join(hospital.names) == TRAILING

    run(conversation())
