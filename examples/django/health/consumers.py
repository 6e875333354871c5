"""A WebSocket that says it works, and closes.

Copy this file and routing.py into a project. It asks for no login and touches neither database nor channel layer, so that a
failing probe means one thing: a client's WebSocket can't reach this application.
"""

from channels.generic.websocket import AsyncWebsocketConsumer

MESSAGE = '{"status":"ok","message":"WebSocket healthy"}'


class HealthConsumer(AsyncWebsocketConsumer):
    async def connect(self):
        await self.accept()
        await self.send(text_data=MESSAGE)
        # 1000, not the 1005 or 1006 of a connection that merely ends: the monitor checks the closing handshake too.
        await self.close(code=1000)
