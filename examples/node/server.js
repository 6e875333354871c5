// npm install ws && PORT=8080 node server.js
const http = require("node:http");
const { WebSocketServer } = require("ws");

const server = http.createServer((request, response) => response.writeHead(404).end());
new WebSocketServer({ server, path: "/ws/health/" }).on("connection", (socket) => {
  socket.send('{"status":"ok","message":"WebSocket healthy"}');
  socket.close(1000);
});
server.listen(process.env.PORT ?? 8080, "127.0.0.1");
