// SPDX-License-Identifier: Apache-2.0
import { createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import { createLog } from "../common/log.ts";
import { readConfig } from "../config/config.ts";
import { ClickHouseService } from "./clickhouse.service.ts";

it("a query to a server that accepts and says nothing ends as STORAGE_UNAVAILABLE, not with the caller's patience", async () => {
  const sockets: Socket[] = [];
  const server = createServer((socket) => sockets.push(socket));
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
  const { config } = readConfig({ WAGGLE_CLICKHOUSE_URL: `http://127.0.0.1:${port}` });
  const clickhouse = new ClickHouseService(config, createLog("silent"));
  clickhouse.answerTimeoutMs = 50;
  try {
    await expect(clickhouse.query("SELECT 1")).rejects.toMatchObject({ code: "STORAGE_UNAVAILABLE" });
  } finally {
    for (const socket of sockets) socket.destroy();
    await clickhouse.onApplicationShutdown();
    server.close();
  }
});
