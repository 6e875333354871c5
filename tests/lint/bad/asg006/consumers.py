from channels.generic.websocket import AsyncWebsocketConsumer


class Health(AsyncWebsocketConsumer):
    pass
