// The live service as it is often written: every message from Redis goes to every socket.
//   node server.mjs REDIS_URL CHANNEL        prints its port, and serves until it is ended
import { createClient } from "redis";
import { WebSocketServer } from "ws";

const [url, channel] = process.argv.slice(2);
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
const subscriber = createClient({ url });
await subscriber.connect();
await subscriber.subscribe(channel, (message) => {
  for (const client of server.clients) {
    if (client.readyState === 1) client.send(message);
  }
});
console.log(server.address().port);
