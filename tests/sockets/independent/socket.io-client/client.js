// The official Socket.IO client, steered by lines of JSON: commands come in, and what it hears goes out.
"use strict";

const { createInterface } = require("node:readline");
const { io } = require("socket.io-client");

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
let socket = null;

function open({ url, auth, headers, transports }) {
  socket = io(url, {
    auth, transports, extraHeaders: headers, reconnectionDelay: 100, reconnectionDelayMax: 500, forceNew: true,
  });
  socket.on("connect", () => say({ event: "connect", transport: socket.io.engine.transport.name }));
  socket.on("connect_error", (error) => say({ event: "connect_error", message: error.message, data: error.data ?? null }));
  socket.on("disconnect", (reason) => say({ event: "disconnect", reason }));
  socket.onAny((event, data) => say({ event, data }));
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line);
  if (order.do === "open") open(order);
  else if (order.do === "emit") socket.emit(order.event, ...order.data, (answer) => say({ event: "answer", data: answer }));
  else if (order.do === "close") socket.close();
}).on("close", () => process.exit(0));
