// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { createClient } from "@clickhouse/client";
import type { TestClickHouse } from "@waggle/clickhouse-embedded/testing";
import { GenericContainer, Wait } from "testcontainers";

/** Of the version that is embedded, as its makers publish it. */
const IMAGE = "clickhouse/clickhouse-server:26.7";
const HTTP_PORT = 8123;

/** ClickHouse's official image in Docker, as far as the API's tests need it. Nothing of it outlives the test process. */
export async function startContainerClickHouse(): Promise<TestClickHouse> {
  const username = "waggle";
  const password = randomBytes(24).toString("base64url");
  const container = await new GenericContainer(IMAGE)
    .withEnvironment({ CLICKHOUSE_USER: username, CLICKHOUSE_PASSWORD: password, CLICKHOUSE_DEFAULT_ACCESS_MANAGEMENT: "1" })
    .withExposedPorts(HTTP_PORT)
    .withWaitStrategy(Wait.forHttp("/ping", HTTP_PORT))
    .start();
  const url = `http://${container.getHost()}:${container.getMappedPort(HTTP_PORT)}`;
  let ended = (): void => {};
  const exited = new Promise<{ code: null; signal: null }>((resolve) => {
    ended = () => resolve({ code: null, signal: null });
  });
  let isStopped = false;
  const stop = async (): Promise<void> => {
    if (isStopped) return;
    isStopped = true;
    await container.stop();
    ended();
  };
  const clients: ReturnType<typeof createClient>[] = [];
  const freshDatabase = async () => {
    const database = `test_${randomBytes(6).toString("hex")}`;
    const admin = createClient({ url, username, password });
    await admin.command({ query: `CREATE DATABASE ${database} ENGINE = Atomic` });
    await admin.close();
    const client = createClient({ url, username, password, database });
    clients.push(client);
    return { database, client };
  };
  const { database, client } = await freshDatabase();
  const fullUrl = new URL(url);
  fullUrl.username = username;
  fullUrl.password = password;
  fullUrl.pathname = `/${database}`;
  return {
    // It has no process or directory of ours.
    server: { url, username, password, database, pid: 0, exited, lastWords: () => "", stop },
    dataDirectory: "",
    database,
    client,
    url: fullUrl.href,
    freshDatabase,
    async [Symbol.asyncDispose]() {
      for (const each of clients) await each.close();
      await stop();
    },
  };
}
