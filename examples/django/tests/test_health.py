from channels.testing import WebsocketCommunicator

from project.asgi import application


async def test_it_says_ok_and_closes_cleanly_without_a_login():
    socket = WebsocketCommunicator(application, "/ws/health/")
    connected, subprotocol = await socket.connect()
    assert connected and subprotocol is None
    assert await socket.receive_from() == '{"status":"ok","message":"WebSocket healthy"}'
    assert await socket.receive_output() == {"type": "websocket.close", "code": 1000}
    await socket.wait()


async def test_any_origin_will_do_since_a_monitor_sends_none():
    socket = WebsocketCommunicator(application, "/ws/health/", headers=[(b"origin", b"https://elsewhere.example.com")])
    connected, _ = await socket.connect()
    assert connected
    await socket.disconnect()
