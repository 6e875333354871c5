"""uvicorn main:app. Under Starlette alone it is the same function in `WebSocketRoute("/ws/health/", health)`."""

from fastapi import FastAPI, WebSocket

app = FastAPI()


@app.websocket("/ws/health/")
async def health(socket: WebSocket):
    await socket.accept()
    await socket.send_text('{"status":"ok","message":"WebSocket healthy"}')
    await socket.close(1000)
